import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runFlood } from '../../bench/run-flood.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { SERVICE_SECRET } from '../support/neighbours.ts';
import { type OwnRabbitmq, ownRabbitmq } from '../support/own-rabbitmq.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { createTestPrefix, redisUrl } from '../support/redis.ts';

/** `npm run bench -- flood` measures a hundred thousand; so does `FLOOD_EVENTS=100000` here. */
const EVENTS = Number(process.env['FLOOD_EVENTS'] ?? 5_000);
const LISTENERS = 2;
/** In hand of a listener: 200 of each of four queues. */
const IN_HAND = LISTENERS * 800;
const MOST_WAITING = 10_000;
/** 27 MB of it live; V8 lets 130 MB of garbage gather where there is much memory. */
const MOST_MB = 350;
/** A flood takes as long as it takes on a busy machine, ms. */
const PATIENCE_MS = 900_000;

let broker: OwnRabbitmq;
let database: TestDatabase;
let store: Store;
const corner = createTestPrefix();

beforeAll(async () => {
  broker = await ownRabbitmq();
  await broker.start();
  database = await createTestDatabase();
  const timeouts = { acquireTimeoutMs: 10_000, statementTimeoutMs: 30_000 };
  store = createStore({ databaseUrl: database.url, poolSize: 2, applicationName: 'test', ...timeouts });
  await addDevices(store, alike(200));
}, 180_000);

afterAll(async () => {
  await store.close();
  await database.drop();
  await corner.clean();
  await broker.remove();
});

describe('a flood of events', () => {
  test(
    'into listeners that run as in production has its effect once, and takes no more memory than is its own',
    async () => {
      const env = { ...process.env, NODE_OPTIONS: '', JWT_SECRET: SERVICE_SECRET, SERVICE_TOKEN_SECRET: SERVICE_SECRET };
      const { wrong, mostWaiting, mostResident } = await runFlood(EVENTS, {
        ...{ env, listeners: LISTENERS, prefix: corner.prefix, redisUrl: redisUrl() },
        databaseUrl: database.url,
        rabbitmqUrl: broker.url,
      });
      expect(wrong).toEqual([]);
      expect(mostWaiting).toBeLessThanOrEqual(MOST_WAITING + IN_HAND);
      expect(mostResident).toBeLessThan(MOST_MB);
      expect(await readInvariants(store)).toEqual([]);
    },
    PATIENCE_MS,
  );
});
