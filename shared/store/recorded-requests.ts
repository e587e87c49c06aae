import { askedAllocation } from '../allocation/asked.ts';
import { TIERS } from '../allocation/tier.ts';
import { readTolerantly } from '../read-tolerantly.ts';
import type { SimulatedDevice, SimulatedRequest } from '../simulation/recorded.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

interface RequestRow {
  user_id: string;
  tenant_id: string | null;
  tier: string;
  asked: unknown;
  at_ms: number;
  held_ms: number | null;
}

const MINUTE_MS = 60_000;

/** Requests as they were made. `unreadable`: rows whose wish nobody here understands; they are left out. */
export interface RecordedRequests {
  readonly requests: readonly SimulatedRequest[];
  readonly unreadable: number;
}

/**
 * The last requests that were not cancelled, in the order in which they were first decided on. A device is used for as long as it was really held, or will be; by a
 * request that got none for as long as was asked.
 *
 * @param limit  how many at most
 */
export async function readRecordedRequests(store: Store, limit: number): Promise<RecordedRequests> {
  const rows = await translated(
    store.prisma.$queryRaw<RequestRow[]>`
      SELECT r.user_id, r.tenant_id, r.tier, r.asked, extract(epoch FROM coalesce(r.waiting_since, a.allocated_at, r.decided_at, r.created_at))::float8 * 1000 AS at_ms,
        extract(epoch FROM coalesce(a.ended_at, a.expires_at) - a.allocated_at)::float8 * 1000 AS held_ms
      FROM (SELECT * FROM requests WHERE status <> 'cancelled' ORDER BY created_at DESC LIMIT ${limit}::int) r
      LEFT JOIN allocations a ON a.request_id = r.id`,
  );
  const requests = rows.flatMap(toRequest).sort((a, b) => a.atMs - b.atMs);
  return { requests, unreadable: rows.length - requests.length };
}

function toRequest(row: RequestRow): SimulatedRequest[] {
  const read = readTolerantly(askedAllocation, row.asked);
  if (!read.success) return [];
  const asked = read.data;
  const tier = TIERS.find((known) => known === row.tier) ?? 'standard';
  const holdMs = Math.round(row.held_ms ?? asked.durationMinutes * MINUTE_MS);
  return [{ userId: row.user_id, tenantId: row.tenant_id, tier, asked, atMs: Math.round(row.at_ms), holdMs }];
}

interface FleetRow extends Omit<SimulatedDevice, 'type'> {
  readonly type: string;
}

/**
 * The fleet as if every running device were free; of a larger one those with the lowest ids, which are drawn at random.
 *
 * @param limit  how many devices at most
 * @returns them, and how many there are in all
 */
export async function readFleetSample(store: Store, limit: number): Promise<{ devices: SimulatedDevice[]; of: number }> {
  const [rows, counts] = await Promise.all([
    translated(
      store.prisma.$queryRaw<FleetRow[]>`
        SELECT id, tenant_id AS "tenantId", type, provider_type AS "providerType", node_id AS "nodeId", region, android_version AS "androidVersion",
          cpu_cores AS "cpuCores", memory_mb AS "memoryMB", storage_mb AS "storageMB", resource_score AS "resourceScore",
          cpu_usage AS "cpuUsage", memory_usage AS "memoryUsage", cost_per_hour AS "costPerHour", turn
        FROM devices WHERE status = 'running' AND NOT draining ORDER BY id LIMIT ${limit}::int`,
    ),
    translated(
      store.prisma.$queryRaw<{ devices: number }[]>`SELECT count(*)::int AS devices FROM devices WHERE status = 'running' AND NOT draining`,
    ),
  ]);
  const devices = rows.map((row) => ({ ...row, type: row.type === 'tablet' ? ('tablet' as const) : ('phone' as const) }));
  return { devices, of: counts[0]?.devices ?? 0 };
}
