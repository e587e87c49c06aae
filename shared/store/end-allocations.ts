import type { EndReason } from '../allocation/end-reason.ts';
import { allocationEnded, type OutboxEvent } from '../events.ts';
import { faultPoint } from '../fault-point.ts';
import { closeReservations, type FailedReservation, reservationFailed } from './close-reservations.ts';
import { FEWER_HELD } from './node-loads.ts';
import type { Transaction } from './store.ts';
import { usageReport } from './usage-row.ts';

/** An allocation that has ended, as it is billed. */
export interface EndedAllocation {
  readonly allocationId: string;
  readonly deviceId: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly fence: number;
  readonly endedAt: Date;
  readonly durationSeconds: number;
  /** From `endedAt` to the moment this was written, s, by the clock of the database: how late a sweep was. */
  readonly lateSeconds: number;
  readonly endReason: EndReason;
}

interface EndedRow {
  id: string;
  device_id: string;
  user_id: string;
  tenant_id: string | null;
  fence: bigint;
  cpu_cores: number;
  memory_mb: number;
  storage_mb: number;
  ended_at: Date;
  duration_seconds: number;
  late_seconds: number;
  end_reason: EndReason;
  failed: FailedReservation | null;
}

/** How allocations end. `cleaningSeconds` > 0: the device is cleaned that long before it is free again. */
export interface Ending {
  readonly cleaningSeconds: number;
}

/**
 * Ends live allocations: the one way out for release, expiry and every other reason.
 *
 * One statement ends the allocation, frees the device (or sends it to cleaning) and writes the ledger; a second one
 * writes the events and the usage report. An allocation that is not live any more is left as it is: of two ends at the
 * same time the database picks one. Rows are taken in the order of their ids so that two groups never deadlock.
 *
 * The reservation an allocation was granted for is over with it, in the same statement; one that runs out (`expired`) ends by
 * `reservation_ended`, whichever sweep comes first. An allocation that ran out ends at its `expires_at`, however late the sweep
 * came: the holder pays for what was granted. One that was extended meanwhile has not run out, and is left as it is.
 *
 * @param ends  which allocations and why; an id at most once. `releaseId` stays with the allocation
 * @returns those that were ended here
 */
export async function endAllocations(
  tx: Transaction,
  ends: readonly { allocationId: string; reason: EndReason; traceId?: string | undefined; releaseId?: string | undefined }[],
  ending: Ending,
): Promise<EndedAllocation[]> {
  if (ends.length === 0) return [];
  const asked = ends.map(({ allocationId, reason, releaseId }) => ({ id: allocationId, reason, release_id: releaseId }));
  const rows = await tx.$queryRaw<EndedRow[]>`
    WITH asked AS (
      SELECT x.id, x.reason, x.release_id FROM jsonb_to_recordset(${JSON.stringify(asked)}::jsonb) AS x(id uuid, reason text, release_id uuid)
    ), live AS (
      SELECT a.id, asked.release_id, CASE WHEN asked.reason = 'expired' THEN a.expires_at ELSE greatest(now(), a.allocated_at) END AS ended_at,
        CASE WHEN asked.reason = 'expired' AND EXISTS (SELECT FROM reservations r WHERE r.allocation_id = a.id AND r.status = 'executing')
          THEN 'reservation_ended' ELSE asked.reason END AS reason
      FROM allocations a JOIN asked ON asked.id = a.id WHERE a.status = 'allocated' AND (asked.reason <> 'expired' OR a.expires_at <= now())
      ORDER BY a.id FOR UPDATE OF a
    ), ended AS (
      UPDATE allocations a SET status = CASE WHEN live.reason = 'expired' THEN 'expired' ELSE 'released' END, ended_at = live.ended_at, end_reason = live.reason,
        release_id = live.release_id
      FROM live WHERE a.id = live.id AND a.status = 'allocated'
      RETURNING a.*, floor(extract(epoch FROM a.ended_at - a.allocated_at))::int AS duration_seconds
    ), freed AS (
      UPDATE devices d SET allocation_id = NULL, updated_at = now(),
        cleaning_until = CASE WHEN ${ending.cleaningSeconds}::int > 0 THEN now() + make_interval(secs => ${ending.cleaningSeconds}::int) END
      FROM ended WHERE d.id = ended.device_id AND d.allocation_id = ended.id
      RETURNING d.node_id, d.region, d.provider_type
    ), ${FEWER_HELD}, owed AS (
      INSERT INTO ledger (allocation_id, device_id, device_name, user_id, tenant_id, cpu_cores, memory_mb, storage_mb, started_at, ended_at, duration_seconds, end_reason)
      SELECT id, device_id, device_name, user_id, tenant_id, cpu_cores, memory_mb, storage_mb, allocated_at, ended_at, duration_seconds, end_reason FROM ended
    ), closed AS (${closeReservations()})
    SELECT e.id, e.device_id, e.user_id, e.tenant_id, e.fence, e.cpu_cores, e.memory_mb, e.storage_mb, e.ended_at, e.duration_seconds, e.end_reason, c.failed,
      extract(epoch FROM now() - e.ended_at)::float8 AS late_seconds
    FROM ended e LEFT JOIN closed c ON c.allocation_id = e.id`;
  faultPoint('end.1');
  await announce(tx, rows, new Map(ends.map(({ allocationId, traceId }) => [allocationId, traceId])));
  return rows.map(toEnded);
}

async function announce(tx: Transaction, rows: readonly EndedRow[], traces: ReadonlyMap<string, string | undefined>): Promise<void> {
  if (rows.length === 0) return;
  const outbox = rows.flatMap((row) => {
    const ended = toEnded(row);
    const size = { cpuCores: row.cpu_cores, memoryMB: row.memory_mb, storageMB: row.storage_mb };
    const trace_id = traces.get(row.id) ?? null;
    const events = [...allocationEnded(ended), ...(row.failed === null ? [] : [reservationFailed(row.failed, ended.endReason)])];
    return [...events.map(eventRow), usageReport('decrement', { ...ended, ...size })].map((out) => ({ ...out, trace_id }));
  });
  await tx.$executeRaw`
    INSERT INTO outbox (channel, topic, key, payload, trace_id)
    SELECT x.channel, x.topic, x.key, x.payload, x.trace_id
    FROM ROWS FROM (jsonb_to_recordset(${JSON.stringify(outbox)}::jsonb) AS (channel text, topic text, key text, payload jsonb, trace_id text))
      WITH ORDINALITY AS x(channel, topic, key, payload, trace_id, position)
    ORDER BY x.position`;
}

function eventRow({ topic, key, payload }: OutboxEvent) {
  return { channel: 'event', topic, key, payload };
}

function toEnded(row: EndedRow): EndedAllocation {
  return {
    allocationId: row.id,
    deviceId: row.device_id,
    userId: row.user_id,
    tenantId: row.tenant_id,
    fence: Number(row.fence),
    endedAt: row.ended_at,
    durationSeconds: row.duration_seconds,
    lateSeconds: row.late_seconds,
    endReason: row.end_reason,
  };
}
