import { EventEmitter } from 'node:events';
import { Duplex } from 'node:stream';
import { type ChannelModel, connect, type RecoveringChannelModel } from 'amqplib';
import type { Logger } from '../logger.ts';
import { type Backoff, backoffDelay, RECONNECT_BACKOFF } from './backoff.ts';
import { withDeadline } from './deadline.ts';

/** Where RabbitMQ is and how patient to be. Times in ms unless the name says otherwise. */
export interface BrokerConnectionOptions {
  readonly url: string;
  /** Shown in RabbitMQ's list of connections. */
  readonly name: string;
  readonly logger: Logger;
  /** A peer silent for two of these is gone. */
  readonly heartbeatSeconds?: number;
  /** Longest time to connect, handshake included. */
  readonly connectTimeoutMs?: number;
  readonly backoff?: Backoff;
}

interface ConnectionEvents {
  connected: [ChannelModel];
  unblocked: [];
}

const CLOSE_DEADLINE_MS = 2_000;

/**
 * A connection that comes back by itself, with backoff and jitter. Channels do not: see `SupervisedChannel`.
 * `connected` is emitted whenever there is a new connection.
 */
export class BrokerConnection extends EventEmitter<ConnectionEvents> {
  readonly #recovering: RecoveringChannelModel;
  readonly #logger: Logger;
  #model: ChannelModel | undefined;
  #blocked = false;

  /** Use `openBrokerConnection`. */
  constructor(recovering: RecoveringChannelModel, logger: Logger) {
    super();
    this.#recovering = recovering;
    this.#logger = logger;
    recovering.on('connect', (model) => this.#onConnect(model));
    recovering.on('disconnect', (error) => this.#onDisconnect(error));
    recovering.on('connect-failed', (error) => logger.warn({ err: error }, 'RabbitMQ cannot be reached, trying again'));
    // Told again by `disconnect`, but an `error` nobody listens to would end the process.
    recovering.on('error', (error) => logger.debug({ err: error }, 'error on the connection to RabbitMQ'));
    recovering.on('blocked', (reason) => this.#onBlocked(reason));
    recovering.on('unblocked', () => this.#onUnblocked());
  }

  /** The connection of the moment, if there is one. */
  get model(): ChannelModel | undefined {
    return this.#model;
  }

  /** RabbitMQ is short of memory or disk and reads nothing from those who publish. */
  get isBlocked(): boolean {
    return this.#blocked;
  }

  /** Ends the connection for good; gives up waiting for a silent broker after two seconds. */
  async close(): Promise<void> {
    this.#model = undefined;
    await withDeadline(this.#recovering.close(), CLOSE_DEADLINE_MS);
  }

  /** Ends a connection at once, without a word of the broker; another one is opened as after any loss. */
  drop(model: ChannelModel): void {
    if (this.#model === model) socketOf(model).destroy(new Error('given up: RabbitMQ does not answer'));
  }

  #onConnect(model: ChannelModel): void {
    this.#logger.info('connected to RabbitMQ');
    this.#model = model;
    this.#blocked = false;
    this.emit('connected', model);
  }

  #onDisconnect(error: Error): void {
    this.#logger.warn({ err: error }, 'lost the connection to RabbitMQ');
    this.#model = undefined;
    this.#blocked = false;
  }

  #onBlocked(reason: string): void {
    this.#logger.warn({ reason }, 'RabbitMQ takes no messages at the moment');
    this.#blocked = true;
  }

  #onUnblocked(): void {
    this.#logger.info('RabbitMQ takes messages again');
    this.#blocked = false;
    this.emit('unblocked');
  }
}

/** amqplib closes a connection by asking the broker to and has no other way; what it keeps of the socket is not in its types. */
function socketOf({ connection }: ChannelModel): Duplex {
  const stream: unknown = Reflect.get(connection, 'stream');
  if (!(stream instanceof Duplex)) throw new Error('amqplib keeps its socket elsewhere');
  return stream;
}

/** Opens a supervised connection. Returns at once: an unreachable broker is no error, it is tried again until `close`. */
export async function openBrokerConnection(options: BrokerConnectionOptions): Promise<BrokerConnection> {
  const { logger, backoff = RECONNECT_BACKOFF } = options;
  const recovering = await connect(withHeartbeat(options.url, options.heartbeatSeconds ?? 10), {
    noDelay: true,
    timeout: options.connectTimeoutMs ?? 5_000,
    clientProperties: { connection_name: options.name },
    recovery: { waitForConnect: false, calculateDelay: (attempt) => backoffDelay(attempt, backoff) },
  });
  return new BrokerConnection(recovering, logger);
}

/** Without a heartbeat a broker that fell silent (power, firewall) would be waited for until TCP gives up, after minutes. */
function withHeartbeat(url: string, seconds: number): string {
  const address = new URL(url);
  if (!address.searchParams.has('heartbeat')) address.searchParams.set('heartbeat', String(seconds));
  return address.toString();
}
