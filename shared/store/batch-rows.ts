import type { EndReason } from '../allocation/end-reason.ts';
import type { AllocateOutcome } from '../allocation/outcome.ts';
import { readOutcomes } from './outcomes.ts';
import { type Reach, withinReach } from './reach.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/*
 * What calls about many things at once read: one statement each, however many things are named.
 */

/** The outcomes of those requests that have one, by request id. */
export async function readOutcomesById(store: Store, requestIds: readonly string[]): Promise<ReadonlyMap<string, AllocateOutcome>> {
  const outcomes = await translated(readOutcomes(store.prisma, requestIds));
  return new Map(outcomes.map((outcome) => [outcome.requestId, outcome]));
}

/** Which of these requests have a row. */
export async function readKnownRequests(store: Store, requestIds: readonly string[]): Promise<ReadonlySet<string>> {
  if (requestIds.length === 0) return new Set();
  const rows = await translated(store.prisma.$queryRaw<{ id: string }[]>`SELECT id FROM requests WHERE id = ANY(${requestIds}::uuid[])`);
  return new Set(rows.map(({ id }) => id));
}

/** How an allocation stands. `end` is there once it has ended. */
export interface StandingAllocation {
  readonly allocationId: string;
  readonly deviceId: string;
  readonly end: { readonly durationSeconds: number; readonly endReason: EndReason } | undefined;
}

/** How those of the allocations stand that are within reach, by id; the others do not exist for who asks. */
export async function readStanding(
  store: Store,
  allocationIds: readonly string[],
  reach: Reach,
): Promise<ReadonlyMap<string, StandingAllocation>> {
  const rows = await translated(store.prisma.$queryRaw<
    { id: string; device_id: string; duration_seconds: number | null; end_reason: EndReason | null }[]
  >`
    SELECT a.id, a.device_id, l.duration_seconds, l.end_reason
    FROM allocations a LEFT JOIN ledger l ON l.allocation_id = a.id
    WHERE a.id = ANY(${allocationIds}::uuid[]) AND ${withinReach(reach, 'a')}`);
  return new Map(
    rows.map(({ id, device_id, duration_seconds, end_reason }) => {
      const end =
        duration_seconds === null || end_reason === null ? undefined : { durationSeconds: duration_seconds, endReason: end_reason };
      return [id, { allocationId: id, deviceId: device_id, end }];
    }),
  );
}

/** The tenants users are known with, by user id; users nobody has seen are missing. */
export async function tenantsOfUsers(store: Store, userIds: readonly string[]): Promise<ReadonlyMap<string, string | null>> {
  if (userIds.length === 0) return new Map();
  const rows = await translated(store.prisma.$queryRaw<{ id: string; tenant_id: string | null }[]>`
    SELECT id, tenant_id FROM users WHERE id = ANY(${userIds}::text[])`);
  return new Map(rows.map(({ id, tenant_id }) => [id, tenant_id]));
}
