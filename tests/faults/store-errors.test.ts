import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createStore, type Store } from '../../shared/store/store.ts';
import { sqlStateOf, translated } from '../../shared/store/store-errors.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await createTestDatabase();
  const timeouts = { acquireTimeoutMs: 5_000, statementTimeoutMs: 10_000 };
  store = createStore({ databaseUrl: database.url, poolSize: 3, applicationName: 'test', ...timeouts });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});
beforeEach(async () => {
  await store.prisma.$executeRaw`INSERT INTO settings (name, value, updated_by) VALUES ('a', '0', 'test'), ('b', '0', 'test')
    ON CONFLICT (name) DO UPDATE SET value = '0'`;
});

const raise = (name: string) => store.prisma.$executeRaw`UPDATE settings SET value = to_jsonb(value::int + 1) WHERE name = ${name}`;
const valueNow = async (name: string) => (await store.prisma.setting.findUniqueOrThrow({ where: { name } })).value;

/** Two who each wait here until the other is here as well, the first time. */
function meeting(): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let here = 0;
  return () => {
    here += 1;
    if (here === 2) resolve();
    return promise;
  };
}

describe('what Postgres itself says', () => {
  test('a deadlock (40P01) is survived: both have their way, one of them at a later try', async () => {
    const bothHoldOne = meeting();
    let runs = 0;
    const inOrder = (first: string, second: string) =>
      store.transaction(async (tx) => {
        runs += 1;
        await tx.$executeRaw`UPDATE settings SET value = to_jsonb(value::int + 1) WHERE name = ${first}`;
        await bothHoldOne();
        await tx.$executeRaw`UPDATE settings SET value = to_jsonb(value::int + 1) WHERE name = ${second}`;
      });
    await Promise.all([inOrder('a', 'b'), inOrder('b', 'a')]);
    expect({ a: await valueNow('a'), b: await valueNow('b') }).toEqual({ a: 2, b: 2 });
    expect(runs).toBeGreaterThan(2);
  });

  test('a serialisation failure (40001) is survived: the transaction runs again and sees the other', async () => {
    let runs = 0;
    await store.transaction(async (tx) => {
      runs += 1;
      await tx.$executeRaw`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`;
      await tx.$queryRaw`SELECT value FROM settings`;
      if (runs === 1) await raise('a');
      await tx.$executeRaw`UPDATE settings SET value = to_jsonb(value::int + 1) WHERE name = 'a'`;
    });
    expect({ a: await valueNow('a'), runs }).toEqual({ a: 2, runs: 2 });
  });

  test.each(['40001', '40P01'])('%s at every try is STORE_UNAVAILABLE after the third', async (state) => {
    let runs = 0;
    const failing = store.transaction(async (tx) => {
      runs += 1;
      await tx.$executeRawUnsafe(`DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '${state}'; END $$`);
    });
    const error: unknown = await failing.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect({ state: sqlStateOf(error instanceof Error ? error.cause : undefined), runs }).toEqual({ state, runs: 3 });
  });

  test('a full disk (53100) is STORE_UNAVAILABLE at once, inside a transaction and outside; nothing is written', async () => {
    await store.prisma.$executeRaw`CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`;
    await store.prisma.$executeRaw`CREATE TRIGGER disk_full BEFORE UPDATE ON settings FOR EACH STATEMENT EXECUTE FUNCTION disk_full()`;
    let runs = 0;
    const inside = store.transaction(async (tx) => {
      runs += 1;
      await tx.$executeRaw`INSERT INTO settings (name, value, updated_by) VALUES ('c', '0', 'test')`;
      await tx.$executeRaw`UPDATE settings SET value = '9'`;
    });
    await expect(inside).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await expect(translated(raise('a'))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await store.prisma.$executeRaw`DROP TRIGGER disk_full ON settings`;
    expect({ runs, c: await store.prisma.setting.findUnique({ where: { name: 'c' } }), a: await valueNow('a') }).toEqual({
      runs: 1,
      c: null,
      a: 0,
    });
  });

  test('control: any other state is thrown as it came', async () => {
    const error: unknown = await store
      .transaction((tx) => tx.$executeRawUnsafe(`DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$`))
      .catch((thrown: unknown) => thrown);
    expect(sqlStateOf(error)).toBe('23514');
    expect(error).not.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });
});
