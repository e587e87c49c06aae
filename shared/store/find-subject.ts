import { Prisma } from '../../prisma/generated/client.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** What a search found: something that has a story. */
export interface Subject {
  readonly kind: 'user' | 'device' | 'allocation' | 'request' | 'reservation';
  readonly id: string;
  /** How people know it. */
  readonly label: string;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Users by their id, devices by id or the beginning of their name, allocations, requests and reservations by id. Every way is an
 * index, however large the tables.
 *
 * @param words  as they were typed, 1..200 characters
 */
export async function findSubjects(store: Store, words: string, limit: number): Promise<readonly Subject[]> {
  const byId = UUID.test(words) ? await findById(store, words) : [];
  const prefix = `${words.toLowerCase().replaceAll(/[\\%_]/g, '\\$&')}%`;
  const named = await translated(
    store.prisma.$queryRaw<Subject[]>`
      (SELECT 'user' AS kind, ${words} AS id, ${words} AS label
       WHERE EXISTS (SELECT FROM users WHERE id = ${words}) OR EXISTS (SELECT FROM allocations WHERE user_id = ${words})
         OR EXISTS (SELECT FROM requests WHERE user_id = ${words} AND rank_at IS NOT NULL) OR EXISTS (SELECT FROM requests WHERE user_id = ${words} AND status = 'refused')
         OR EXISTS (SELECT FROM reservations WHERE user_id = ${words}))
      UNION ALL
      (SELECT 'device', d.id::text, d.name FROM devices d WHERE lower(d.name) LIKE ${prefix} ORDER BY lower(d.name) USING ~<~ LIMIT ${limit}::int)`,
  );
  return [...byId, ...named].slice(0, limit);
}

async function findById(store: Store, id: string): Promise<Subject[]> {
  const of = (kind: Subject['kind'], table: string, label: Prisma.Sql) =>
    Prisma.sql`SELECT ${kind} AS kind, t.id::text AS id, ${label} AS label FROM ${Prisma.raw(table)} t WHERE t.id = ${id}::uuid`;
  return translated(
    store.prisma.$queryRaw<Subject[]>`${Prisma.join(
      [
        of('device', 'devices', Prisma.sql`t.name`),
        of('allocation', 'allocations', Prisma.sql`t.device_name || ' for ' || t.user_id`),
        of('request', 'requests', Prisma.sql`t.user_id`),
        of('reservation', 'reservations', Prisma.sql`t.user_id`),
      ],
      ' UNION ALL ',
    )}`,
  );
}
