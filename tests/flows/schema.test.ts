import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { insertGround, insertPlain, VALID } from '../support/plain-rows.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { VIOLATIONS } from '../support/violations.ts';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

beforeEach(async () => {
  await client.query('BEGIN');
  await insertGround(client);
});

afterEach(async () => void (await client.query('ROLLBACK')));

const attempts = VIOLATIONS.map((violation) => ({ ...violation, text: `${violation.table} ${JSON.stringify(violation.rows.at(-1))}` }));

describe('the database refuses by itself', () => {
  test.each(attempts)('$constraint: $text', async ({ constraint, table, rows }) => {
    for (const row of rows.slice(0, -1)) await insertPlain(client, table, row);
    await expect(insertPlain(client, table, rows.at(-1) ?? {})).rejects.toMatchObject({ constraint });
  });

  test('has a constraint for every attempt, and an attempt for every constraint', async () => {
    const { rows } = await client.query<{ name: string }>(`
      SELECT conname AS name FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'p', 'u', 'f', 'x')
      UNION SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indisunique AND relnamespace = 'public'::regnamespace ORDER BY name`);
    const present = rows.map(({ name }) => name).filter((name) => !name.startsWith('_prisma_migrations'));
    expect([...new Set(VIOLATIONS.map(({ constraint }) => constraint))].toSorted()).toEqual(present.toSorted());
  });
});

describe('the database accepts', () => {
  test.each(Object.keys(VALID))('a whole row of %s', async (table) => {
    await insertPlain(client, table, {});
  });

  test('reservations of one device back to back', async () => {
    const first = { starts_at: '2026-01-01T10:00:00Z', ends_at: '2026-01-01T11:00:00Z', blocked_until: '2026-01-01T11:00:00Z' };
    const second = { starts_at: '2026-01-01T11:00:00Z', ends_at: '2026-01-01T12:00:00Z', blocked_until: '2026-01-01T12:00:00Z' };
    await insertPlain(client, 'reservations', { ...first, user_id: 'ann' });
    await insertPlain(client, 'reservations', { ...second, user_id: 'ann' });
  });

  test('a device again once its allocation has ended', async () => {
    await insertPlain(client, 'allocations', { fence: 2, status: 'expired', ended_at: '2026-01-01T11:00:00Z', end_reason: 'expired' });
    await insertPlain(client, 'allocations', { fence: 3 });
  });
});
