import type { Logger } from '../logger.ts';
import { type OutcomeMessage, publishOutcomes } from './completion.ts';
import type { RedisClient } from './redis.ts';

/** What has changed by a commit. */
export interface Change {
  /** Devices became free or taken: cached lists of available devices are out of date. */
  readonly availability: boolean;
  /** Rows were added to the outbox or the ledger. */
  readonly outbox: boolean;
  /** Outcomes somebody may be waiting for. */
  readonly outcomes: readonly OutcomeMessage[];
}

/** Counted up at every change of availability; part of the key of every cached list. */
export const availableEpochKey = (prefix: string) => `${prefix}:available:epoch`;

/** Where the relay hears that the outbox has new rows. */
export const outboxChannel = (prefix: string) => `${prefix}:outbox`;

/**
 * Tells the other processes what a commit has changed, in one round trip.
 *
 * Losing this loses nothing: outcomes are read from their rows, the relay looks every second, caches expire. So a Redis
 * that is away is logged, not thrown.
 *
 * @param redis  a connection that fails fast
 */
export async function announce(redis: RedisClient, prefix: string, change: Change, logger: Logger): Promise<void> {
  const sent: Promise<unknown>[] = [publishOutcomes(redis, prefix, change.outcomes)];
  if (change.availability) sent.push(redis.incr(availableEpochKey(prefix)));
  if (change.outbox) sent.push(redis.publish(outboxChannel(prefix), ''));
  for (const result of await Promise.allSettled(sent)) {
    if (result.status === 'rejected') logger.warn({ err: result.reason }, 'a change could not be announced');
  }
}
