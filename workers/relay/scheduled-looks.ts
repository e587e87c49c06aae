import { outboxRelayPayload, type RelayJobName } from '../../queues/jobs/outbox-relay.ts';
import { keepSchedules } from '../../queues/keep-schedules.ts';
import { QUEUES } from '../../queues/names.ts';
import { RELAY_SCHEDULES } from '../../queues/schedules.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { checked, type JobHandler, type QueueWorker, startQueueWorker, type WorkerTiming } from '../../shared/run/queue-worker.ts';
import type { RedisAddress, RedisClient } from '../../shared/run/redis.ts';
import { runOnce, tickOf } from '../../shared/store/run-once.ts';
import type { Store } from '../../shared/store/store.ts';
import type { Left } from './tally.ts';

/** Where the schedule of the relay lives. */
export interface ScheduleParts {
  readonly redisAddress: RedisAddress;
  /** A connection that fails fast; the caller closes it. */
  readonly redis: RedisClient;
  readonly metrics: Pick<Metrics, 'jobDuration' | 'jobsStalled' | 'workerRestarts' | 'scheduledRuns'>;
  /** How often the schedule is looked after, ms. */
  readonly keepEveryMs?: number;
  readonly timing?: Partial<WorkerTiming>;
}

interface LookParts extends ScheduleParts {
  readonly store: Store;
  readonly prefix: string;
  readonly logger: Logger;
  readonly leads: () => boolean;
  /** Looks at the whole outbox, also while that is paused if `force` says so. Answers what has left since it looked last. */
  readonly look: (force: boolean) => Promise<Left>;
}

/** Longest run of one look, ms: an operator's may have a backlog to work off. */
const LOOK_DEADLINE_MS = 60_000;

/** The scheduled looks of one relay; it takes ticks between `lead` and `follow`. */
export interface ScheduledLooks {
  lead(): void;
  follow(): void;
  close(): Promise<void>;
}

/**
 * The schedule `outbox-relay`: any relay keeps it in Redis, the leading one takes its ticks. So a run that is listed was one of
 * the relay that publishes, and where none leads none is listed. The leader looks between the ticks as well, without Redis too.
 *
 * @throws whatever Redis reports when the schedule is put there
 */
export async function scheduleLooks(parts: LookParts): Promise<ScheduledLooks> {
  const { redis, prefix, logger } = parts;
  const keeper = await keepSchedules({
    redis,
    prefix,
    queue: QUEUES.relay,
    schedules: RELAY_SCHEDULES,
    everyMs: parts.keepEveryMs ?? 15_000,
    // Nothing of the outbox is in Redis but jobs, and rows whose jobs are lost are handed out again.
    onLost: () => Promise.resolve(),
    logger,
  });
  let worker: QueueWorker | undefined;
  let closing: Promise<unknown> = Promise.resolve();
  const follow = () => {
    const former = worker;
    worker = undefined;
    if (former !== undefined) closing = Promise.all([closing, former.close()]);
  };
  return {
    lead: () => {
      worker ??= takeTicks(parts);
    },
    follow,
    close: async () => {
      await keeper.close();
      follow();
      await closing;
    },
  };
}

function takeTicks(parts: LookParts): QueueWorker {
  const { store, prefix, metrics, logger, leads, look } = parts;
  const handlers: Record<RelayJobName, JobHandler> = {
    'outbox-relay': checked(outboxRelayPayload, async ({ by }, { id, signal }) => {
      if (!leads()) return { skipped: true };
      const tick = { job: 'outbox-relay', at: by === 'schedule' ? tickOf(id) : undefined, signal };
      return runOnce({ store, metrics, logger }, tick, () => look(by === 'operator'));
    }),
  };
  return startQueueWorker({
    queue: QUEUES.relay,
    prefix,
    redis: parts.redisAddress,
    concurrency: 2,
    handlers,
    deadlineMs: LOOK_DEADLINE_MS,
    metrics,
    logger,
    ...(parts.timing === undefined ? {} : { timing: parts.timing }),
  });
}
