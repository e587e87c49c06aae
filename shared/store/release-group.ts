import { decideRelease, type ReleaseDecision, type ReleaseFacts, type ReleaseRequest } from '../allocation/decide-release.ts';
import type { EndReason } from '../allocation/end-reason.ts';
import { faultPoint } from '../fault-point.ts';
import { spannedGroup } from '../spans.ts';
import { BY_INDEX } from './by-index.ts';
import { type EndedAllocation, type Ending, endAllocations } from './end-allocations.ts';
import type { Store, Transaction } from './store.ts';

/** One release: exactly one of `allocationId` and `deviceId` names what is released. */
export interface NamedRelease extends ReleaseRequest {
  readonly allocationId: string | undefined;
  readonly deviceId: string | undefined;
  /** Of a release by the name of a device: who runs it a second time finds what it has ended by this. */
  readonly releaseId?: string | undefined;
  /** What follows the release into its events and reports. */
  readonly traceId?: string | undefined;
}

export type ReleaseResult =
  | {
      readonly status: 'released';
      readonly allocationId: string;
      readonly deviceId: string;
      readonly durationSeconds: number;
      readonly endReason: EndReason;
      /** One release of those that name the same allocation has ended it; the others are repeats. */
      readonly endedHere: boolean;
    }
  | {
      readonly status: 'refused';
      readonly code: 'ALLOCATION_NOT_FOUND' | 'STALE_FENCE';
      readonly details?: Readonly<Record<string, unknown>>;
    };

interface FactsRow {
  position: number;
  id: string;
  device_id: string;
  user_id: string;
  tenant_id: string | null;
  current_fence: bigint;
  duration_seconds: number | null;
  end_reason: EndReason | null;
}

/**
 * Releases a group in one transaction: read, decide, end.
 *
 * A device may be named instead of an allocation: then the allocation on it that this release has ended before is meant, else
 * the newest one that the caller may see. Without the former a second run of the same release would end what the device was
 * granted to meanwhile.
 *
 * @returns results in the order of the releases
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export function releaseGroup(store: Store, releases: readonly NamedRelease[], ending: Ending): Promise<ReleaseResult[]> {
  const traces = releases.map(({ traceId }) => traceId);
  return spannedGroup('release group', traces, () => release(store, releases, ending));
}

function release(store: Store, releases: readonly NamedRelease[], ending: Ending): Promise<ReleaseResult[]> {
  return store.transaction(async (tx) => {
    const facts = await readFacts(tx, releases);
    const decisions = releases.map((release, position) => decideRelease(release, facts.get(position)));
    const ends = endsOf(releases, decisions, facts);
    faultPoint('release.2');
    const enders = new Set(ends.map(({ position }) => position));
    const ended = await endAllocations(tx, ends, ending);
    const byId = new Map(ended.map((row) => [row.allocationId, row]));
    const lost = decisions.flatMap((decision, position) => {
      const fact = facts.get(position);
      return decision.kind === 'end' && fact !== undefined && !byId.has(fact.allocationId) ? [fact.allocationId] : [];
    });
    const elsewhere = await readLedger(tx, lost);
    faultPoint('release.3');
    return decisions.map((decision, position) => toResult(decision, facts.get(position), byId, elsewhere, enders.has(position)));
  });
}

function endsOf(releases: readonly NamedRelease[], decisions: readonly ReleaseDecision[], facts: ReadonlyMap<number, ReleaseFacts>) {
  const ends = new Map<
    string,
    { allocationId: string; reason: EndReason; traceId: string | undefined; releaseId: string | undefined; position: number }
  >();
  decisions.forEach((decision, position) => {
    const allocationId = facts.get(position)?.allocationId;
    const release = releases[position];
    if (decision.kind === 'end' && allocationId !== undefined && release !== undefined && !ends.has(allocationId))
      ends.set(allocationId, {
        allocationId,
        reason: release.endReason,
        traceId: release.traceId,
        releaseId: release.releaseId,
        position,
      });
  });
  return [...ends.values()];
}

async function readFacts(tx: Transaction, releases: readonly NamedRelease[]): Promise<Map<number, ReleaseFacts>> {
  const asked = releases.map((release, position) => ({
    position,
    allocation_id: release.allocationId,
    device_id: release.deviceId,
    user_id: release.userId,
    release_id: release.releaseId,
  }));
  const rows = await tx.$queryRaw<FactsRow[]>`
    SELECT x.position, a.id, a.device_id, a.user_id, a.tenant_id, l.duration_seconds, l.end_reason,
           CASE WHEN x.device_id IS NULL OR a.release_id = x.release_id THEN a.fence ELSE d.fence END AS current_fence
    FROM jsonb_to_recordset(${JSON.stringify(asked)}::jsonb) AS x(position int, allocation_id uuid, device_id uuid, user_id text, release_id uuid)
    CROSS JOIN ${BY_INDEX}
    CROSS JOIN LATERAL (
      (SELECT * FROM allocations WHERE x.allocation_id IS NOT NULL AND id = x.allocation_id)
      UNION ALL
      (SELECT * FROM allocations WHERE x.allocation_id IS NULL AND id = coalesce(
        (SELECT id FROM allocations WHERE device_id = x.device_id AND release_id = x.release_id AND (x.user_id IS NULL OR user_id = x.user_id) LIMIT 1),
        (SELECT id FROM allocations WHERE device_id = x.device_id AND (x.user_id IS NULL OR user_id = x.user_id) ORDER BY fence DESC LIMIT 1)))
    ) a
    JOIN devices d ON d.id = a.device_id
    LEFT JOIN ledger l ON l.allocation_id = a.id`;
  return new Map(rows.map((row) => [row.position, toFacts(row)]));
}

function toFacts(row: FactsRow): ReleaseFacts {
  const { duration_seconds: durationSeconds, end_reason: endReason } = row;
  return {
    allocationId: row.id,
    deviceId: row.device_id,
    userId: row.user_id,
    tenantId: row.tenant_id,
    currentFence: Number(row.current_fence),
    ended: durationSeconds === null || endReason === null ? null : { durationSeconds, endReason },
  };
}

/** How an allocation ended that was live when we read it but that somebody else ended first. */
async function readLedger(tx: Transaction, allocationIds: readonly string[]) {
  if (allocationIds.length === 0) return new Map<string, { durationSeconds: number; endReason: EndReason }>();
  const rows = await tx.$queryRaw<{ allocation_id: string; duration_seconds: number; end_reason: EndReason }[]>`
    SELECT allocation_id, duration_seconds, end_reason FROM ledger WHERE allocation_id = ANY(${allocationIds}::uuid[])`;
  return new Map(rows.map((row) => [row.allocation_id, { durationSeconds: row.duration_seconds, endReason: row.end_reason }]));
}

function toResult(
  decision: ReleaseDecision,
  facts: ReleaseFacts | undefined,
  ended: ReadonlyMap<string, EndedAllocation>,
  elsewhere: ReadonlyMap<string, { durationSeconds: number; endReason: EndReason }>,
  ender: boolean,
): ReleaseResult {
  if (decision.kind === 'refused')
    return { status: 'refused', code: decision.code, ...(decision.details === undefined ? {} : { details: decision.details }) };
  if (facts === undefined) return { status: 'refused', code: 'ALLOCATION_NOT_FOUND' };
  const { allocationId, deviceId } = facts;
  const here = ended.get(allocationId);
  const end = decision.kind === 'ended-before' ? decision : (here ?? elsewhere.get(allocationId));
  if (end === undefined) throw new Error(`allocation ${allocationId} is neither live nor in the ledger`);
  const { durationSeconds, endReason } = end;
  return {
    status: 'released',
    allocationId,
    deviceId,
    durationSeconds,
    endReason,
    endedHere: here !== undefined && ender,
  };
}
