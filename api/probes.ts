import { connect } from 'node:net';
import { type NeighbourStates, NOTHING_KNOWN } from '../shared/clients/breaker-board.ts';
import type { RedisClient } from '../shared/run/redis.ts';

/** What the API stands on, each with a way to ask whether it is there. A probe resolves, or rejects with the reason. */
export interface Probes {
  readonly postgres: () => Promise<unknown>;
  readonly redis: () => Promise<unknown>;
  readonly queue: () => Promise<unknown>;
  /** Absent when events are switched off. */
  readonly rabbitmq?: (() => Promise<unknown>) | undefined;
  /** The breakers of the neighbours, as the workers told them. */
  readonly neighbours: () => Promise<NeighbourStates>;
}

export type ProbeResult = 'up' | 'down' | 'off';

/** What `/ready` says. */
export interface Readiness {
  readonly status: 'ready' | 'not_ready';
  readonly postgres: ProbeResult;
  readonly redis: ProbeResult;
  readonly rabbitmq: ProbeResult;
  readonly queue: ProbeResult;
  /** For people: a neighbour that is left alone makes nobody unready, its outage has answers of its own. */
  readonly neighbours: NeighbourStates;
}

const PROBE_TIMEOUT_MS = 1_500;
const KEPT_MS = 500;

/**
 * Makes the function behind `/ready`. Whoever asks within half a second gets the same answer: the route is open to
 * everybody and must not be a way to load the servers.
 *
 * RabbitMQ away does not make the API unready: events wait in the outbox and no allocation is slower for it.
 */
export function createReadiness(probes: Probes): () => Promise<Readiness> {
  let last: { at: number; answer: Promise<Readiness> } | undefined;
  return () => {
    if (last === undefined || Date.now() - last.at > KEPT_MS) last = { at: Date.now(), answer: ask(probes) };
    return last.answer;
  };
}

async function ask(probes: Probes): Promise<Readiness> {
  const [postgres, redis, queue, rabbitmq, neighbours] = await Promise.all([
    outcome(probes.postgres),
    outcome(probes.redis),
    outcome(probes.queue),
    outcome(probes.rabbitmq),
    inTime(
      probes.neighbours().catch(() => NOTHING_KNOWN),
      NOTHING_KNOWN,
    ),
  ]);
  const ready = postgres === 'up' && redis === 'up' && queue === 'up';
  return { status: ready ? 'ready' : 'not_ready', postgres, redis, rabbitmq, queue, neighbours };
}

async function outcome(probe: (() => Promise<unknown>) | undefined): Promise<ProbeResult> {
  if (probe === undefined) return 'off';
  const asked = probe().then(
    (): ProbeResult => 'up',
    // The reason is in the log of whoever owns the connection; here only "down" is of interest.
    (): ProbeResult => 'down',
  );
  return inTime(asked, 'down');
}

async function inTime<T>(asked: Promise<T>, otherwise: T): Promise<T> {
  const deadline = Promise.withResolvers<T>();
  const timer = setTimeout(() => deadline.resolve(otherwise), PROBE_TIMEOUT_MS);
  const result = await Promise.race([asked, deadline.promise]);
  clearTimeout(timer);
  return result;
}

/** Asks Redis for a sign of life. */
export function probeRedis(redis: RedisClient): () => Promise<unknown> {
  return () => redis.ping();
}

const AMQP_HEADER = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]);

/**
 * Greets an AMQP 0-9-1 broker and waits for its first frame: an open port alone does not mean that the broker answers.
 *
 * @param url  `amqp://` or `amqps://`; credentials are not needed to be greeted, TLS is answered by the port being open
 */
export function probeBroker(url: string): () => Promise<unknown> {
  const { hostname, port, protocol } = new URL(url);
  const secure = protocol === 'amqps:';
  return () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect({ host: hostname, port: port === '' ? (secure ? 5671 : 5672) : Number(port), timeout: PROBE_TIMEOUT_MS });
      const settle = (finish: () => void) => () => {
        socket.destroy();
        finish();
      };
      socket.once('connect', () => (secure ? settle(resolve)() : socket.write(AMQP_HEADER)));
      socket.once('data', settle(resolve));
      socket.once(
        'timeout',
        settle(() => reject(new Error('RabbitMQ did not answer'))),
      );
      socket.once('error', (error) => settle(() => reject(error))());
      socket.once('close', () => reject(new Error('RabbitMQ closed the connection')));
    });
}
