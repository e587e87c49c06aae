import { Queue } from 'bullmq';
import type { Cluster, Redis } from 'ioredis';
import { MAX_MATCH_IDS, type MatchPayload, matchJob } from './jobs/match.ts';
import { QUEUES } from './names.ts';

/** What may let somebody who waits have a device now. Say it after the commit. */
export interface CapacityChange {
  /** Became free, or may be used again: released, expired, cleaned, activated, running. */
  readonly devices?: readonly string[];
  /** Ended: their users have room again. */
  readonly allocations?: readonly string[];
  /** Quota, balance or block changed. */
  readonly users?: readonly string[];
  /** Began to wait. */
  readonly requests?: readonly string[];
  /** Too much to name. */
  readonly all?: boolean;
}

export interface CapacitySignalOptions {
  /** A connection that fails fast; the caller closes it. */
  readonly redis: Redis | Cluster;
  readonly prefix: string;
  /** Whether anybody waits. */
  readonly waits: () => Promise<boolean>;
  /** Puts the waiting requests of users, and of those whose allocations ended, back into the queue. Answers their ids. */
  readonly unpark: (users: readonly string[], allocations: readonly string[]) => Promise<readonly string[]>;
  readonly logger: { warn(details: object, message: string): void };
}

/** The one way to say that capacity has changed. */
export interface CapacitySignal {
  /** Wakes the waitlist, if anybody waits. Never throws: what is lost is found by the look every 5 s. */
  changed(change: CapacityChange): Promise<void>;
  /** Looks everywhere and ends waits that have lasted too long. Throws what Redis reports. */
  look(reply?: MatchPayload['reply']): Promise<void>;
  close(): Promise<void>;
}

export function createCapacitySignal({ redis, prefix, waits, unpark, logger }: CapacitySignalOptions): CapacitySignal {
  const queue = new Queue<MatchPayload, unknown, string>(QUEUES.waitlist, {
    connection: redis,
    prefix,
    skipWaitingForReady: true,
    skipVersionCheck: true,
  });
  queue.on('error', (error) => logger.warn({ err: error, queue: QUEUES.waitlist }, 'queue error'));
  const wake = (payload: MatchPayload) => queue.add(matchJob.name, payload, matchJob.options);

  async function tell({ devices = [], allocations = [], users = [], requests = [], all = false }: CapacityChange): Promise<void> {
    if (!(await waits())) return;
    const back = users.length + allocations.length === 0 ? [] : await unpark(users, allocations);
    const may = [...requests, ...back];
    const tooMany = Math.max(devices.length, may.length) > MAX_MATCH_IDS;
    if (all || tooMany) await wake({ devices: [], requests: [], look: true });
    else if (devices.length + may.length > 0) await wake({ devices: [...devices], requests: may, look: false });
  }

  return {
    changed: async (change) => {
      try {
        await tell(change);
      } catch (error) {
        logger.warn({ err: error }, 'the waitlist could not be woken; its next look will see');
      }
    },
    look: async (reply) => void (await wake({ devices: [], requests: [], look: true, ...(reply === undefined ? {} : { reply }) })),
    close: () => queue.close(),
  };
}
