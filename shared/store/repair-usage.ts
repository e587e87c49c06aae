import type { Store } from './store.ts';
import { usageReport } from './usage-row.ts';

/** One look at a part of the allocations. `checkedTo`: where the next one goes on; nothing when the end was reached. */
export interface UsageCheck {
  /** Allocations whose use is reported now. */
  readonly repaired: readonly string[];
  readonly checkedTo: string | null;
}

interface WrongRow {
  readonly allocationId: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
  readonly operation: 'increment' | 'decrement';
}

/** How far back allocations may have begun that are looked at, days. */
const BEGAN_DAYS = 7;
/** Changes of use this recent are looked at, h. Reports that were delivered are kept for longer, so one that is not there never was. */
const CHANGED_HOURS = 12;
const FIRST = '-infinity 00000000-0000-0000-0000-000000000000';

/**
 * Compares allocations with the reports of their use, a part at a time, and writes the reports that are missing: what the
 * user-service counts of a user nets to what the user holds. The report is written by the transaction that grants or ends, so one
 * statement sees both or neither, and the receiver counts each once: a doubt is resolved by reporting.
 *
 * @param after  where the last look ended
 * @param limit  most allocations of this look
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function repairUsage(store: Store, after: string | null, limit: number): Promise<UsageCheck> {
  const [from = '', fromId = ''] = (after ?? FIRST).split(' ');
  return store.transaction(async (tx) => {
    // One at a time: the second look sees what the first has written.
    await tx.$queryRaw`SELECT count(*) FROM (SELECT pg_advisory_xact_lock(hashtextextended('repair usage', 0))) locked`;
    const [look] = await tx.$queryRaw<{ wrong: WrongRow[] | null; last: string | null; looked: number }[]>`
      WITH part AS MATERIALIZED (
        SELECT * FROM allocations WHERE (allocated_at, id) > (${from}::timestamptz, ${fromId}::uuid) AND allocated_at > now() - make_interval(days => ${BEGAN_DAYS}::int)
        ORDER BY allocated_at, id LIMIT ${limit}::int
      ), changes AS (
        SELECT p.*, 'increment' AS operation FROM part p WHERE p.allocated_at > now() - make_interval(hours => ${CHANGED_HOURS}::int)
        UNION ALL SELECT p.*, 'decrement' FROM part p WHERE p.ended_at > now() - make_interval(hours => ${CHANGED_HOURS}::int)
      )
      SELECT (SELECT json_agg(w) FROM (
          SELECT c.id AS "allocationId", c.user_id AS "userId", c.device_id AS "deviceId", c.cpu_cores AS "cpuCores", c.memory_mb AS "memoryMB",
            c.storage_mb AS "storageMB", c.operation
          FROM changes c WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.channel = 'usage' AND o.key = c.id::text AND o.topic = c.operation)
          ORDER BY c.allocated_at, c.id, c.operation DESC) w) AS wrong,
        (SELECT to_char(allocated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || ' ' || id FROM part ORDER BY allocated_at DESC, id DESC LIMIT 1) AS last,
        (SELECT count(*)::int FROM part) AS looked`;
    const wrong = look?.wrong ?? [];
    const reports = wrong.map(({ operation, ...holder }) => usageReport(operation, holder));
    await tx.$executeRaw`
      INSERT INTO outbox (channel, topic, key, payload)
      SELECT x.channel, x.topic, x.key, x.payload
      FROM ROWS FROM (jsonb_to_recordset(${JSON.stringify(reports)}::jsonb) AS (channel text, topic text, key text, payload jsonb))
        WITH ORDINALITY AS x(channel, topic, key, payload, position) ORDER BY x.position`;
    const checkedTo = look !== undefined && look.looked === limit ? look.last : null;
    return { repaired: [...new Set(wrong.map(({ allocationId }) => allocationId))], checkedTo };
  });
}
