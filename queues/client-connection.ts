import { randomUUID } from 'node:crypto';
import { createOutcomeListener, type OutcomeListener } from '../shared/run/completion.ts';
import { type ConnectionLog, closeRedis, createRedis, type RedisAddress, type RedisClient, whenReady } from '../shared/run/redis.ts';
import type { CallParts } from './client-calls.ts';

const LISTEN_TIMEOUT_MS = 10_000;
/** A first call also opens the connection: however short its own wait is, it gets this long to hand its request in, ms. */
const CONNECT_MS = 2_000;

/** The two connections of a client: one asks and fails fast, one listens and waits for as long as it takes. */
export class ClientConnection {
  /** The name outcomes are sent to. */
  readonly instance = randomUUID();
  readonly redis: RedisClient;
  readonly #subscriber: RedisClient;
  readonly #prefix: string;
  readonly #logger: ConnectionLog;
  #listener: Promise<OutcomeListener> | undefined;
  #listening: OutcomeListener | undefined;

  constructor(address: RedisAddress, prefix: string, logger: ConnectionLog) {
    this.redis = createRedis('producer', address, logger);
    this.#subscriber = createRedis('subscriber', address, logger);
    this.#prefix = prefix;
    this.#logger = logger;
  }

  /** What calls need, once both connections are there. Throws QUEUE_UNAVAILABLE when they are not by `until`, or within 2 s if that is later. */
  async parts(until: number): Promise<CallParts> {
    await whenReady(this.redis, Math.max(CONNECT_MS, until - performance.now()));
    this.#listener ??= this.#listen();
    return { redis: this.redis, prefix: this.#prefix, listener: await this.#listener, logger: this.#logger };
  }

  async #listen(): Promise<OutcomeListener> {
    try {
      await whenReady(this.#subscriber, LISTEN_TIMEOUT_MS);
      this.#listening = await createOutcomeListener(this.#subscriber, this.#prefix, this.instance, this.#logger);
      return this.#listening;
    } catch (error) {
      this.#listener = undefined;
      throw error;
    }
  }

  close(): void {
    this.#listening?.close();
    closeRedis(this.#subscriber);
    closeRedis(this.redis);
  }
}
