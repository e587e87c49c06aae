import type { Logger } from '../../shared/logger.ts';
import { outboxChannel } from '../../shared/run/announce.ts';
import type { RedisClient } from '../../shared/run/redis.ts';

/**
 * Calls the listener at each signal. Does not wait for Redis: while it is away the relay looks by itself.
 *
 * @param subscriber  a `subscriber` connection of its own; the caller closes it
 * @returns what stops listening
 */
export function onOutboxSignal(subscriber: RedisClient, prefix: string, logger: Logger, listener: () => void): () => void {
  const channel = outboxChannel(prefix);
  const hear = (from: string) => {
    if (from === channel) listener();
  };
  subscriber.on('message', hear);
  subscriber.subscribe(channel).catch((error: unknown) => logger.warn({ err: error }, 'commits are not heard of, the net is relied on'));
  return () => void subscriber.off('message', hear);
}
