import type { CapacityChange, CapacitySignal } from '../../queues/capacity-signal.ts';
import type { Logger } from '../../shared/logger.ts';
import { announce } from '../../shared/run/announce.ts';
import type { RedisClient } from '../../shared/run/redis.ts';

export interface TellParts {
  /** Fails fast. */
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly capacity: CapacitySignal;
  readonly logger: Logger;
}

/** Tells the others, after the commit: the lists of available devices, the relay, and who waits for what has become free. */
export async function tellFreed({ redis, prefix, capacity, logger }: TellParts, change: CapacityChange): Promise<void> {
  await announce(redis, prefix, { availability: true, outbox: true, outcomes: [] }, logger);
  await capacity.changed(change);
}
