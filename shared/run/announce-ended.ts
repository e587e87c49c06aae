import type { EndedRequest } from '../allocation/outcome.ts';
import type { Logger } from '../logger.ts';
import { announce } from './announce.ts';
import { keepOutcomes } from './completion.ts';
import type { RedisClient } from './redis.ts';

export interface AnnounceEndedParts {
  /** Fails fast. */
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly logger: Logger;
}

/**
 * Tells, after the commit, that requests are over which may have waited: whoever listens, and, for the client, whose job said
 * "waiting" long ago, as an outcome it finds when it looks. Whoever ends such a request calls this, whatever the end.
 */
export async function announceEnded(
  { redis, prefix, logger }: AnnounceEndedParts,
  ended: readonly EndedRequest[],
  { availability }: { readonly availability: boolean } = { availability: false },
): Promise<void> {
  if (ended.length === 0) return;
  const asKept = ended.flatMap(({ requestId, source, outcome }) => (source === 'client' ? [{ id: requestId, outcome }] : []));
  const outcomes = ended.flatMap(({ requestId, replyTo, outcome }) => (replyTo === null ? [] : [{ replyTo, id: requestId, outcome }]));
  await Promise.all([
    keepOutcomes(redis, prefix, asKept, logger),
    announce(redis, prefix, { availability, outbox: true, outcomes }, logger),
  ]);
}
