import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/**
 * Takes or renews a lease: of all processes asking, one holds it until it runs out.
 *
 * @param name    what only one process may do at a time
 * @param holder  who asks; the same text renews
 * @param termMs  how long it is held from now on, by the clock of Postgres
 * @returns whether the caller holds it
 * @throws STORE_UNAVAILABLE
 */
export async function takeLease(store: Store, name: string, holder: string, termMs: number): Promise<boolean> {
  const taken = await translated(
    store.prisma.$executeRaw`
      INSERT INTO leases AS l (name, holder, held_until)
      VALUES (${name}, ${holder}, now() + ${termMs} * interval '1 millisecond')
      ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
      WHERE l.holder = excluded.holder OR l.held_until <= now()`,
  );
  return taken === 1;
}

/**
 * Gives a lease back so that the next need not wait until it runs out. Does nothing when somebody else holds it.
 *
 * @throws STORE_UNAVAILABLE
 */
export async function returnLease(store: Store, name: string, holder: string): Promise<void> {
  await translated(store.prisma.$executeRaw`DELETE FROM leases WHERE name = ${name} AND holder = ${holder}`);
}
