import { createCapacitySignal } from '../../queues/capacity-signal.ts';
import { keepSchedules } from '../../queues/keep-schedules.ts';
import { QUEUES } from '../../queues/names.ts';
import type { Schedule } from '../../queues/schedules.ts';
import { startQueueWorker, type WorkerTiming } from '../../shared/run/queue-worker.ts';
import type { RedisAddress } from '../../shared/run/redis.ts';
import { somebodyWaits, unpark } from '../../shared/store/unpark.ts';
import { createReserveHandlers, createScheduledHandlers, type ReservationParts } from './handlers.ts';

/** What the reservations worker works with. */
export interface ReservationDependencies extends ReservationParts {
  readonly redisAddress: RedisAddress;
  readonly schedules: readonly Schedule[];
  /** How often the schedules are looked after, ms. */
  readonly keepEveryMs?: number;
  readonly timing?: Partial<WorkerTiming>;
}

/** Longest run of one look, ms: after a long outage there may be much to begin. */
const TICK_DEADLINE_MS = 5 * 60_000;
/** Longest run of one booking, ms. A series makes many. */
const RESERVE_DEADLINE_MS = 60_000;
/** The look and the series may run at once, each at most once a tick. */
const SCHEDULED_AT_ONCE = 2;
const RESERVED_AT_ONCE = 10;

/** Starts the looks at reservations, and booking for other services. */
export async function startReservations(deps: ReservationDependencies): Promise<{ healthy(): boolean; close(): Promise<void> }> {
  const { redis, prefix, metrics, logger } = deps;
  const capacity = createCapacitySignal({
    redis,
    prefix,
    waits: () => somebodyWaits(deps.store),
    unpark: (users, allocations) => unpark(deps.store, users, allocations),
    logger,
  });
  const keeper = await keepSchedules({
    redis,
    prefix,
    queue: QUEUES.reservations,
    schedules: deps.schedules,
    everyMs: deps.keepEveryMs ?? 15_000,
    // Nothing of a reservation is in Redis: the next look finds what is due.
    onLost: () => Promise.resolve(),
    logger,
  });
  const shared = {
    noted: true,
    prefix,
    redis: deps.redisAddress,
    metrics,
    logger,
    ...(deps.timing === undefined ? {} : { timing: deps.timing }),
  };
  const looks = startQueueWorker({
    ...shared,
    queue: QUEUES.reservations,
    concurrency: SCHEDULED_AT_ONCE,
    handlers: createScheduledHandlers({ ...deps, capacity }),
    deadlineMs: TICK_DEADLINE_MS,
  });
  const bookings = startQueueWorker({
    ...shared,
    queue: QUEUES.reserve,
    concurrency: RESERVED_AT_ONCE,
    handlers: createReserveHandlers(deps),
    deadlineMs: RESERVE_DEADLINE_MS,
  });
  return {
    healthy: () => looks.healthy() && bookings.healthy(),
    close: async () => {
      await keeper.close();
      await Promise.all([looks.close(), bookings.close()]);
      await capacity.close();
    },
  };
}
