import { decideSilence, type HolderSigns } from '../allocation/decide-silence.ts';
import { type EndedAllocation, type Ending, endAllocations } from './end-allocations.ts';
import { type EndBatch, orRefused } from './end-in-batches.ts';
import { type Reach, withinReach } from './reach.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

/*
 * Signs of life. A heartbeat writes one column that no index knows, by primary key: a heap-only update. Who is silent is
 * found by another column, when to look next, which the look itself moves; so an allocation costs one index entry each
 * time its holder could have fallen silent, however often the holder is heard.
 */

/** `stale`: the fence is older than the allocation's, `current`. */
export type Heard = { readonly kind: 'heard' | 'ended' | 'unknown' } | { readonly kind: 'stale'; readonly current: number };

/**
 * Notes a sign of life of a holder. Against an end at the same time the database picks one.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function hear(store: Store, allocationId: string, fence: number, reach: Reach): Promise<Heard> {
  const [row] = await translated(store.prisma.$queryRaw<{ heard: boolean; live: boolean; fence: bigint }[]>`
    WITH heard AS (
      UPDATE allocations a SET last_heartbeat_at = now()
      WHERE a.id = ${allocationId}::uuid AND a.status = 'allocated' AND a.fence <= ${fence} AND ${withinReach(reach, 'a')}
      RETURNING a.id
    )
    SELECT EXISTS (SELECT FROM heard) AS heard, a.status = 'allocated' AS live, a.fence
    FROM allocations a WHERE a.id = ${allocationId}::uuid AND ${withinReach(reach, 'a')}`);
  if (row === undefined) return { kind: 'unknown' };
  if (row.heard) return { kind: 'heard' };
  const current = Number(row.fence);
  // Live as this statement's snapshot saw it, and yet not updated: it ended meanwhile.
  return fence < current ? { kind: 'stale', current } : { kind: 'ended' };
}

/** A break in the listening that is longer than this makes all silence before it void, s. */
const LONGEST_BREAK_S = 6;

/**
 * Notes that heartbeats can be heard now. To be said by whoever hears them, much more often than every
 * `LONGEST_BREAK_S`.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function noteListening(store: Store): Promise<void> {
  await translated(store.prisma.$executeRaw`
    INSERT INTO listening AS l (since, heard_until) VALUES (now(), now())
    ON CONFLICT (one) DO UPDATE SET heard_until = greatest(l.heard_until, now()),
      since = CASE WHEN l.heard_until < now() - make_interval(secs => ${LONGEST_BREAK_S}::int) THEN now() ELSE l.since END`);
}

interface SignsRow {
  id: string;
  allocated_at: Date;
  last_heartbeat_at: Date | null;
  heartbeat_seconds: number;
  since: Date;
  now: Date;
}

/**
 * Reclaims one batch of allocations whose holders fell silent, and notes of the others when to look again. Nothing is
 * reclaimed while nobody listens, nor what is due to expire anyway.
 *
 * @param graceSeconds  silence allowed on top of what was agreed, s
 * @throws SchedulerError STORE_UNAVAILABLE; EndRefused when the database refuses one of them
 */
export async function reclaimSilent(store: Store, limit: number, graceSeconds: number, ending: Ending): Promise<EndBatch> {
  return store.transaction(async (tx) => {
    const rows = await tx.$queryRaw<SignsRow[]>`
      SELECT a.id, a.allocated_at, a.last_heartbeat_at, a.heartbeat_seconds, l.since, now() AS now
      FROM allocations a CROSS JOIN listening l
      WHERE a.status = 'allocated' AND a.heartbeat_check_at <= now() AND a.expires_at > now()
        AND l.heard_until > now() - make_interval(secs => ${LONGEST_BREAK_S}::int)
        AND NOT EXISTS (SELECT FROM stuck_ends s WHERE s.allocation_id = a.id AND s.next_attempt_at > now())
      ORDER BY a.heartbeat_check_at, a.id LIMIT ${limit} FOR UPDATE OF a SKIP LOCKED`;
    const decided = rows.map((row) => ({ id: row.id, decision: decideSilence(signsOf(row), row.since, graceSeconds, row.now) }));
    await lookAgain(
      tx,
      decided.flatMap(({ id, decision }) => (decision.kind === 'look-again' ? [{ id, at: decision.at }] : [])),
    );
    const lost = decided.flatMap(({ id, decision }) => (decision.kind === 'lost' ? [id] : []));
    return { ended: await reclaim(tx, lost, ending), looked: rows.length };
  });
}

function signsOf(row: SignsRow): HolderSigns {
  return { allocatedAt: row.allocated_at, lastHeartbeatAt: row.last_heartbeat_at, heartbeatSeconds: row.heartbeat_seconds };
}

async function lookAgain(tx: Transaction, looks: readonly { readonly id: string; readonly at: Date }[]): Promise<void> {
  if (looks.length === 0) return;
  await tx.$executeRaw`
    UPDATE allocations a SET heartbeat_check_at = x.at
    FROM jsonb_to_recordset(${JSON.stringify(looks)}::jsonb) AS x(id uuid, at timestamptz) WHERE a.id = x.id`;
}

function reclaim(tx: Transaction, ids: readonly string[], ending: Ending): Promise<EndedAllocation[]> {
  const ends = ids.map((allocationId) => ({ allocationId, reason: 'holder_lost' as const }));
  return orRefused(ids, () => endAllocations(tx, ends, ending));
}
