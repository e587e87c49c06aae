import { DEAD_LETTER_KINDS, type DeadLetterKind } from './dead-letters.ts';
import { countPending } from './outbox.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** What the cluster still has to do, as the rows say. */
export interface Backlog {
  /** Outbox rows not yet handed out, by channel. */
  readonly outbox: ReadonlyMap<string, number>;
  /** Bills the billing-service has not taken, and the seconds they are about; dead ones count. */
  readonly owed: { readonly bills: number; readonly seconds: number };
  readonly deadLetters: Readonly<Record<DeadLetterKind, number>>;
  /** Who waits for a device, by tier; the age of the oldest in s. */
  readonly waiting: readonly { readonly tier: string; readonly count: number; readonly oldestSeconds: number }[];
  readonly liveAllocations: number;
}

/** Reads only partial indexes: what is done costs nothing. @throws STORE_UNAVAILABLE */
export async function readBacklog(store: Store): Promise<Backlog> {
  const { prisma } = store;
  const [outbox, [owed], dead, waiting, [live]] = await Promise.all([
    countPending(store),
    translated(
      prisma.$queryRaw<{ bills: number; seconds: number }[]>`
        SELECT count(*)::int AS bills, coalesce(sum(duration_seconds), 0)::float8 AS seconds FROM (
          SELECT duration_seconds FROM ledger WHERE status = 'owed' UNION ALL SELECT duration_seconds FROM ledger WHERE status = 'dead') AS unsettled`,
    ),
    countDead(store),
    translated(
      prisma.$queryRaw<Backlog['waiting'][number][]>`
        SELECT tier, count(*)::int AS count, extract(epoch FROM now() - min(created_at))::float8 AS "oldestSeconds"
        FROM requests WHERE status = 'waiting' GROUP BY tier ORDER BY tier`,
    ),
    translated(prisma.$queryRaw<{ count: number }[]>`SELECT count(*)::int AS count FROM allocations WHERE status = 'allocated'`),
  ]);
  return { outbox, owed: owed ?? { bills: 0, seconds: 0 }, deadLetters: dead, waiting, liveAllocations: live?.count ?? 0 };
}

async function countDead(store: Store): Promise<Backlog['deadLetters']> {
  const rows = await translated(
    store.prisma.$queryRaw<{ kind: DeadLetterKind; count: number }[]>`
      SELECT 'billing' AS kind, count(*)::int AS count FROM ledger WHERE status = 'dead'
      UNION ALL
      SELECT CASE channel WHEN 'notice' THEN 'notification' ELSE channel END, count(*)::int FROM outbox WHERE status = 'dead' GROUP BY channel`,
  );
  const counts = new Map(rows.map(({ kind, count }) => [kind, count]));
  const entries = DEAD_LETTER_KINDS.map((kind) => [kind, counts.get(kind) ?? 0] as const);
  return Object.fromEntries(entries) as Record<DeadLetterKind, number>;
}
