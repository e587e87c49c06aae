import { Prisma } from '../../prisma/generated/client.ts';
import { type Reach, withinReach } from './reach.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** Counts over the kept history, and waits of the requests granted within the last 24 hours. */
export interface AllocationStats {
  readonly totalAllocations: number;
  readonly activeAllocations: number;
  readonly releasedAllocations: number;
  readonly expiredAllocations: number;
  readonly byTier: Readonly<Record<string, number>>;
  readonly byEndReason: Readonly<Record<string, number>>;
  /** From acceptance to the grant, ms; `null` when nothing was granted. */
  readonly waitP50Ms: number | null;
  readonly waitP95Ms: number | null;
}

interface CountRow {
  tier: string;
  status: 'allocated' | 'released' | 'expired';
  end_reason: string | null;
  count: number;
}

/** @param tenantId  narrows what is within reach to one tenant */
export async function readAllocationStats(store: Store, reach: Reach, tenantId: string | undefined): Promise<AllocationStats> {
  const within = (alias: string) =>
    Prisma.sql`${withinReach(reach, alias)} AND ${tenantId === undefined ? Prisma.sql`true` : Prisma.sql`${Prisma.raw(`${alias}.tenant_id`)} = ${tenantId}`}`;
  const [counts, waits] = await Promise.all([
    translated(
      store.prisma.$queryRaw<CountRow[]>`
        SELECT a.tier, a.status, a.end_reason, count(*)::int AS count FROM allocations a WHERE ${within('a')} GROUP BY a.tier, a.status, a.end_reason`,
    ),
    translated(
      store.prisma.$queryRaw<{ p50: number | null; p95: number | null }[]>`
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) AS p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY waited) AS p95
        FROM (SELECT extract(epoch FROM r.decided_at - r.created_at)::float8 * 1000 AS waited FROM requests r
              WHERE r.created_at > now() - interval '24 hours' AND r.status = 'granted' AND ${within('r')}) AS waits`,
    ),
  ]);
  return { ...summed(counts), waitP50Ms: waits[0]?.p50 ?? null, waitP95Ms: waits[0]?.p95 ?? null };
}

function summed(rows: readonly CountRow[]): Omit<AllocationStats, 'waitP50Ms' | 'waitP95Ms'> {
  const sum = (chosen: (row: CountRow) => boolean) => rows.filter(chosen).reduce((total, row) => total + row.count, 0);
  const grouped = (key: (row: CountRow) => string | null) => {
    const groups: Record<string, number> = {};
    for (const row of rows) {
      const name = key(row);
      if (name !== null) groups[name] = (groups[name] ?? 0) + row.count;
    }
    return groups;
  };
  return {
    totalAllocations: sum(() => true),
    activeAllocations: sum((row) => row.status === 'allocated'),
    releasedAllocations: sum((row) => row.status === 'released'),
    expiredAllocations: sum((row) => row.status === 'expired'),
    byTier: grouped((row) => row.tier),
    byEndReason: grouped((row) => row.end_reason),
  };
}
