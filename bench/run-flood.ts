import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type ConfirmChannel, connect } from 'amqplib';
import pg from 'pg';
import { freePort } from '../dev/cluster/ports.ts';
import { MODEST_NODE_ARGS } from '../dev/cluster/start-cluster.ts';
import { type Supervised, supervise } from '../dev/cluster/supervise.ts';
import { QUEUES } from '../queues/names.ts';
import { EVENT_EXCHANGE } from '../shared/events.ts';
import { connectRedis } from './connect-redis.ts';
import { type Flood, makeFlood } from './flood-events.ts';
import { residentOf } from './resident.ts';

/** Where a flood goes. */
export interface FloodPlace {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly rabbitmqUrl: string;
  /** Start of the keys in Redis. */
  readonly prefix: string;
  readonly listeners: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What a flood took. Memory in MB. */
export interface FloodResult {
  readonly different: number;
  readonly seconds: number;
  readonly perSecond: number;
  /** The most one listener had in memory. */
  readonly mostResident: number;
  /** The most events that waited in Redis at once, those for another attempt and those worked on included. */
  readonly mostWaiting: number;
  /** What is wrong: each event was to have its effect once. */
  readonly wrong: readonly string[];
}

const USERS = 2_000;
const AT_ONCE = 2_000;
const LOOK_MS = 100;
const READY_MS = 60_000;
const STOP_MS = 20_000;

/**
 * Publishes so many events as fast as RabbitMQ takes them, to listeners that run as in production, and waits until all have
 * had their effect. The database has devices and belongs to the flood.
 *
 * @throws Error when nothing more is done and the flood is not over
 */
export async function runFlood(count: number, place: FloodPlace): Promise<FloodResult> {
  const database = new pg.Client({ connectionString: place.databaseUrl });
  await database.connect();
  const listeners = await startListeners(place);
  const watching = watch(place, listeners);
  try {
    const { rows } = await database.query<{ id: string }>('SELECT id FROM devices ORDER BY id LIMIT 5000');
    const users = Array.from({ length: USERS }, () => `user-${randomUUID()}`);
    const flood = makeFlood(
      count,
      rows.map(({ id }) => id),
      users,
    );
    const began = performance.now();
    await publish(place.rabbitmqUrl, flood);
    await untilDone(database, flood.different);
    const seconds = (performance.now() - began) / 1_000;
    const most = await watching.stop();
    return { different: flood.different, seconds, perSecond: count / seconds, ...most, wrong: await faultsOf(database, flood, listeners) };
  } finally {
    await watching.stop();
    await Promise.all(listeners.map((listener) => listener.stop(STOP_MS)));
    await database.end();
  }
}

async function startListeners({ databaseUrl, redisUrl, rabbitmqUrl, prefix, env, listeners }: FloodPlace): Promise<Supervised[]> {
  const own = { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, RABBITMQ_URL: rabbitmqUrl, QUEUE_PREFIX: prefix };
  const started: Supervised[] = [];
  for (let number = 1; number <= listeners; number += 1) {
    const port = await freePort();
    // A failed payment must not end in arrears here: it is there to be counted.
    const settings = { PAYMENT_FAILURE_THRESHOLD: '1000', METRICS_HOST: '127.0.0.1', METRICS_PORT: String(port), LOG_LEVEL: 'error' };
    const spec = {
      name: `listener-${number}`,
      file: fileURLToPath(new URL('../workers/listener/main.ts', import.meta.url)),
      nodeArgs: MODEST_NODE_ARGS,
      env: { ...env, ...own, ...settings },
      healthUrl: `http://127.0.0.1:${port}/health`,
    };
    started.push(supervise(spec, { onLine: (name, line) => process.stderr.write(`${name}: ${line}\n`), onEvent: () => undefined }));
  }
  const ready = await Promise.all(started.map((listener) => listener.healthy(READY_MS)));
  if (ready.includes(false)) throw new Error('a listener did not come up');
  return started;
}

async function publish(url: string, { events }: Flood): Promise<void> {
  const connection = await connect(url);
  const channel: ConfirmChannel = await connection.createConfirmChannel();
  for (let from = 0; from < events.length; from += AT_ONCE) {
    for (const { topic, eventId, body } of events.slice(from, from + AT_ONCE))
      channel.publish(EVENT_EXCHANGE, topic, Buffer.from(JSON.stringify({ eventId, ...body })), { persistent: true, messageId: eventId });
    await channel.waitForConfirms();
  }
  await connection.close();
}

async function untilDone(database: pg.Client, different: number): Promise<void> {
  let [before, unchangedSince] = [-1, performance.now()];
  for (;;) {
    const { rows } = await database.query<{ taken: number }>('SELECT count(*)::int AS taken FROM inbox');
    const taken = rows[0]?.taken ?? 0;
    if (taken >= different) return;
    if (taken !== before) [before, unchangedSince] = [taken, performance.now()];
    if (performance.now() - unchangedSince > READY_MS) throw new Error(`only ${taken} of ${different} events had their effect`);
    await pause(LOOK_MS);
  }
}

async function faultsOf(database: pg.Client, flood: Flood, listeners: readonly Supervised[]): Promise<string[]> {
  const { rows } = await database.query<{ taken: number; payments: number; alerts: number; dead: number }>(`
    SELECT (SELECT count(*)::int FROM inbox) AS taken, (SELECT sum(payment_failures)::int FROM users) AS payments,
      (SELECT count(*)::int FROM outbox WHERE topic = 'billing_alert' AND payload -> 'data' ->> 'alert' = 'balance_low') AS alerts,
      (SELECT count(*)::int FROM outbox WHERE topic LIKE 'scheduler.%.failed') AS dead`);
  const found = [
    ['events taken', rows[0]?.taken, flood.different],
    ['failed payments counted', rows[0]?.payments, flood.failedPayments],
    ['low balances told', rows[0]?.alerts, flood.lowBalances],
    ['dead letters', rows[0]?.dead, 0],
    ['listeners replaced', listeners.reduce((sum, { replacements }) => sum + replacements, 0), 0],
  ] as const;
  return found.flatMap(([what, is, should]) => (is === should ? [] : [`${what}: ${is} instead of ${should}`]));
}

/** Looks at memory and queue until it is stopped. */
function watch({ redisUrl, prefix }: FloodPlace, listeners: readonly Supervised[]) {
  const redis = connectRedis({ url: redisUrl, clusterNodes: [] });
  const keys = `${prefix}:${QUEUES.event}`;
  const stopped = new AbortController();
  const most = { mostResident: 0, mostWaiting: 0 };
  const watching = (async () => {
    while (!stopped.signal.aborted) {
      const counts = [redis.llen(`${keys}:wait`), redis.zcard(`${keys}:delayed`), redis.llen(`${keys}:active`)];
      const waiting = (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
      most.mostWaiting = Math.max(most.mostWaiting, waiting);
      for (const { pid } of listeners) if (pid !== undefined) most.mostResident = Math.max(most.mostResident, await residentOf(pid));
      await pause(LOOK_MS);
    }
    redis.disconnect();
  })();
  return {
    stop: async () => {
      stopped.abort();
      await watching;
      return most;
    },
  };
}
