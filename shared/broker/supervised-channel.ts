import type { Channel, ChannelModel } from 'amqplib';
import type { Logger } from '../logger.ts';
import { type Backoff, backoffDelay, RECONNECT_BACKOFF } from './backoff.ts';
import type { BrokerConnection } from './connection.ts';
import { withDeadline } from './deadline.ts';

/** How a channel is made and what it needs before it is of use. */
export interface SupervisedChannelOptions<C extends Channel> {
  readonly connection: BrokerConnection;
  readonly logger: Logger;
  /** Opens the channel: `(model) => model.createConfirmChannel()`. */
  readonly open: (model: ChannelModel) => Promise<C>;
  /** Asserts exchanges and queues, starts consumers. Run on every new channel. */
  readonly prepare: (channel: C) => Promise<void>;
  /** Called when a new channel is prepared. */
  readonly onReady?: (channel: C) => void;
  readonly backoff?: Backoff;
  /** Longest time from opening a channel to having it prepared, ms. amqplib waits for an answer for ever. */
  readonly prepareTimeoutMs?: number;
}

const PREPARE_TIMEOUT_MS = 15_000;

/** One try to have a channel, and that channel. */
interface Attempt {
  readonly model: ChannelModel;
  /** `performance.now()`. */
  readonly startedAt: number;
}

/** A channel that lived this long was a good one: the next failure starts the backoff from the beginning. */
const PROVEN_AFTER_MS = 10_000;

const CLOSE_DEADLINE_MS = 2_000;

/**
 * Keeps one prepared channel on a connection.
 *
 * amqplib rebuilds connections only. A channel ends alone when the broker closes it (406 PRECONDITION_FAILED, 404), and a
 * consumer when its queue goes away; both are noticed here and answered with a new channel, prepared like the first.
 */
export class SupervisedChannel<C extends Channel> {
  readonly #options: SupervisedChannelOptions<C>;
  readonly #onConnected = (model: ChannelModel): void => this.#start(model);
  #current: C | undefined;
  /** The latest try to have a channel. What an earlier one still says comes too late: its successor is under way. */
  #attempt: Attempt | undefined;
  #closed = false;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SupervisedChannelOptions<C>) {
    this.#options = options;
    options.connection.on('connected', this.#onConnected);
    if (options.connection.model !== undefined) this.#start(options.connection.model);
  }

  /** The prepared channel of the moment, if there is one. */
  get current(): C | undefined {
    return this.#current;
  }

  /** Puts another channel in the place of the one of the moment, which is of no use any more. */
  replace(reason: string): void {
    const channel = this.#current;
    if (channel === undefined || this.#attempt === undefined) return;
    this.#options.logger.warn({ reason }, 'a channel to RabbitMQ is replaced');
    this.#end(channel);
    this.#lose(this.#attempt);
  }

  /** Ends the channel for good; the connection stays. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#attempt = undefined;
    clearTimeout(this.#timer);
    this.#options.connection.off('connected', this.#onConnected);
    const channel = this.#current;
    this.#current = undefined;
    if (channel !== undefined) await withDeadline(channel.close(), CLOSE_DEADLINE_MS);
  }

  #start(model: ChannelModel): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    void this.#build(model);
  }

  async #build(model: ChannelModel): Promise<void> {
    const { open, prepare, logger, prepareTimeoutMs = PREPARE_TIMEOUT_MS } = this.#options;
    const attempt = { model, startedAt: performance.now() };
    this.#attempt = attempt;
    const timer = setTimeout(() => this.#giveUp(attempt), prepareTimeoutMs);
    let channel: C | undefined;
    try {
      channel = await open(model);
      this.#watch(channel, attempt);
      await prepare(channel);
      if (this.#attempt === attempt) this.#adopt(channel);
      else this.#end(channel);
    } catch (error) {
      logger.warn({ err: error }, 'a channel to RabbitMQ could not be prepared');
      if (channel !== undefined) this.#end(channel);
      this.#lose(attempt);
    } finally {
      clearTimeout(timer);
    }
  }

  #watch(channel: C, attempt: Attempt): void {
    const { logger } = this.#options;
    channel.on('error', (error) => logger.warn({ err: error }, 'RabbitMQ closed a channel'));
    channel.once('close', () => this.#lose(attempt));
    channel.on('cancel', () => {
      logger.warn('RabbitMQ cancelled a consumer, its channel is replaced');
      this.#end(channel);
      // Its close may never be answered.
      this.#lose(attempt);
    });
  }

  #adopt(channel: C): void {
    this.#current = channel;
    this.#options.onReady?.(channel);
  }

  /** An attempt has come to nothing, or its channel to an end: time for the next, once. */
  #lose(attempt: Attempt): void {
    if (this.#attempt !== attempt) return;
    if (this.#current !== undefined && performance.now() - attempt.startedAt > PROVEN_AFTER_MS) this.#failures = 0;
    this.#attempt = undefined;
    this.#current = undefined;
    this.#rebuildLater(attempt.model);
  }

  /** A broker that does not answer would not answer the close of a channel either. */
  #giveUp(attempt: Attempt): void {
    if (this.#attempt !== attempt) return;
    this.#options.logger.warn('RabbitMQ does not answer on a new channel, the connection is given up');
    this.#options.connection.drop(attempt.model);
  }

  #end(channel: C): void {
    channel.close().catch((error: unknown) => this.#options.logger.debug({ err: error }, 'a channel had ended already'));
  }

  #rebuildLater(model: ChannelModel): void {
    const { connection, backoff = RECONNECT_BACKOFF } = this.#options;
    if (this.#closed || connection.model !== model || this.#timer !== undefined) return;
    this.#failures += 1;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        if (connection.model === model) void this.#build(model);
      },
      backoffDelay(this.#failures, backoff),
    );
  }
}
