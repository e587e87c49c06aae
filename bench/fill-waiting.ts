import pg from 'pg';
import { type AskedAllocationInput, askedAllocation } from '../shared/allocation/asked.ts';
import { TIERS } from '../shared/allocation/tier.ts';
import { NO_CAPS } from '../shared/placement/requirement.ts';
import type { Store } from '../shared/store/store.ts';
import { needsOf } from '../shared/waitlist/needs.ts';
import { headStartOf } from '../shared/waitlist/rank.ts';

/** Where the outcomes of those who wait are said. */
export const REPLY_TO = 'bench-waitlist';

const TENANTS = 100;
/** Between two who began to wait, s. Every tier is in the same line, so ranks are all mixed. */
const APART_S = 0.02;

const WISHES: readonly AskedAllocationInput[] = [
  {},
  { devicePreferences: { deviceType: 'phone' } },
  { devicePreferences: { deviceType: 'tablet' } },
  { preferredSpecs: { minCpu: 4 } },
  { preferredSpecs: { minCpu: 8 } },
  { devicePreferences: { deviceType: 'phone' }, preferredSpecs: { minCpu: 6 } },
  { devicePreferences: { deviceType: 'tablet' }, preferredSpecs: { minCpu: 6 } },
  { devicePreferences: { deviceType: 'phone' }, preferredSpecs: { minCpu: 8 } },
];

/** Has so many wait, and nobody else: users of their own, a hundred tenants, all tiers, eight different wishes. */
export async function fillWaiting(databaseUrl: string, count: number): Promise<void> {
  const wishes = WISHES.map((wish, number) => {
    const asked = askedAllocation.parse(wish);
    return { number, asked, needs: needsOf(asked, NO_CAPS) };
  });
  const tiers = TIERS.map((tier, number) => ({ number, tier, head: headStartOf(tier) / 1_000 }));
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(`DELETE FROM requests WHERE status = 'waiting'`);
  await client.query(
    `INSERT INTO requests (id, caller, source, user_id, tenant_id, tier, status, asked, code, details, created_at, deadline, waiting_since, flow, rank_at, needs,
       reply_to)
     SELECT gen_random_uuid(), 'service:bench', 'client', 'waiter-' || n, 'tenant-' || n % ${TENANTS}, t.tier, 'waiting', w.asked, 'POOL_BUSY',
       '{"reason": "POOL_BUSY"}', at, now() + interval '10 hours', at, 't:tenant-' || n % ${TENANTS}, at - make_interval(secs => t.head), w.needs, $4
     FROM (SELECT n, now() - make_interval(secs => (n * 7919::bigint) % $1 * ${APART_S}) AS at FROM generate_series(1, $1::int) AS n) AS made
     JOIN jsonb_to_recordset($2) AS w(number int, asked jsonb, needs int[]) ON w.number = n % ${WISHES.length}
     JOIN jsonb_to_recordset($3) AS t(number int, tier text, head float8) ON t.number = n / ${WISHES.length} % ${TIERS.length}`,
    [count, JSON.stringify(wishes), JSON.stringify(tiers), REPLY_TO],
  );
  await client.query('VACUUM ANALYZE requests');
  await client.end();
}

/** Somebody who waits, in their own words. */
export interface Waiter {
  readonly id: string;
  readonly deviceType: string | null;
  readonly minCpu: number | null;
}

/** All who wait, in the order of their places. */
export function readLine(store: Store): Promise<Waiter[]> {
  return store.prisma.$queryRaw<Waiter[]>`
    SELECT id, asked -> 'devicePreferences' ->> 'deviceType' AS "deviceType", (asked -> 'preferredSpecs' ->> 'minCpu')::int AS "minCpu"
    FROM requests WHERE status = 'waiting' ORDER BY rank_at, id`;
}
