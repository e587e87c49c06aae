import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLogger } from '../../shared/logger.ts';
import { createOutcomeListener, type OutcomeListener, publishOutcomes } from '../../shared/run/completion.ts';
import { closeRedis, type RedisClient } from '../../shared/run/redis.ts';
import { eventually } from '../support/eventually.ts';
import { openRedis } from '../support/open-redis.ts';
import { createTestPrefix } from '../support/redis.ts';

const logger = createLogger('test', 'silent');
const { prefix } = createTestPrefix();

let redis: RedisClient;
let subscriber: RedisClient;
let listener: OutcomeListener;

beforeEach(async () => {
  [redis, subscriber] = await Promise.all([openRedis('producer'), openRedis('subscriber')]);
  listener = await createOutcomeListener(subscriber, prefix, 'here', logger);
});

afterEach(() => {
  listener.close();
  closeRedis(redis);
  closeRedis(subscriber);
});

describe('whoever waits for an outcome', () => {
  test('is told it, and so is everybody else who waits for the same', async () => {
    const waiting = [listener.wait('one', 20_000), listener.wait('one', 20_000), listener.wait('two', 20_000)];
    await publishOutcomes(redis, prefix, [
      { replyTo: 'here', id: 'one', outcome: { status: 'granted' } },
      { replyTo: 'elsewhere', id: 'two', outcome: 'not ours' },
      { replyTo: 'here', id: 'two', outcome: { status: 'refused' } },
    ]);
    expect(await Promise.all(waiting)).toEqual([{ status: 'granted' }, { status: 'granted' }, { status: 'refused' }]);
  });

  test('is told in one message per instance', async () => {
    const counter = await openRedis('subscriber');
    const messages: string[] = [];
    counter.on('message', (_channel: string, text: string) => messages.push(text));
    await counter.subscribe(`${prefix}:done:here`);
    const ids = Array.from({ length: 50 }, (_, index) => `id-${index}`);
    const waiting = ids.map((id) => listener.wait(id, 20_000));
    await publishOutcomes(
      redis,
      prefix,
      ids.map((id) => ({ replyTo: 'here', id, outcome: id })),
    );
    expect(await Promise.all(waiting)).toEqual(ids);
    await eventually(() => expect(messages).toHaveLength(1));
    closeRedis(counter);
  });

  test('hears nothing of what was said before', async () => {
    const marker = listener.wait('marker', 20_000);
    for (const id of ['early', 'marker']) await publishOutcomes(redis, prefix, [{ replyTo: 'here', id, outcome: 1 }]);
    await marker;
    expect(await listener.wait('early', 50)).toBeUndefined();
  });

  test('gives up when time is up, when the caller has gone, and when the listener closes', async () => {
    const gone = new AbortController();
    const waiting = [listener.wait('a', 20), listener.wait('b', 60_000, gone.signal), listener.wait('c', 60_000)];
    gone.abort();
    expect(await listener.wait('d', 60_000, gone.signal)).toBeUndefined();
    expect(await listener.wait('e', 0)).toBeUndefined();
    expect(await waiting[0]).toBeUndefined();
    listener.close();
    expect(await Promise.all(waiting)).toEqual([undefined, undefined, undefined]);
  });

  test('is not disturbed by messages that cannot be read', async () => {
    const waiting = listener.wait('one', 20_000);
    for (const text of ['not json', '{}', '[1, ["one"], [2, 3]]']) await redis.publish(`${prefix}:done:here`, text);
    await publishOutcomes(redis, prefix, [{ replyTo: 'here', id: 'one', outcome: null }]);
    expect(await waiting).toBeNull();
  });

  test('can close while Redis is away', async () => {
    subscriber.disconnect();
    await eventually(() => expect(subscriber.status).toBe('end'));
    listener.close();
  });
});
