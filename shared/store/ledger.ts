import { randomUUID } from 'node:crypto';
import { usageReportFailed } from '../events.ts';
import { type FailedDelivery, failuresJson, type Pause } from './delivery-attempt.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

/** What is owed to billing for one ended allocation. Sizes in MB, duration in whole seconds. */
export interface ClaimedBill {
  readonly allocationId: string;
  readonly deviceId: string;
  readonly deviceName: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
  readonly durationSeconds: number;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

/** Bills that are sent together, and again together when no answer comes. */
export interface ClaimedBatch {
  readonly batchId: string;
  readonly bills: readonly ClaimedBill[];
}

interface BillRow extends ClaimedBill {
  readonly batchId: string;
}

/**
 * Takes due ledger rows for delivery. Rows sent before without an answer come in the batch they were sent in, with all
 * that were in it; the others make new batches, one for each number of attempts: the next pause and the last attempt then
 * come to all of a batch at once, and it never goes out in part. The attempt is counted here, so that a row that kills its
 * worker runs out of attempts too. Whoever is not heard of again loses the claim when the lease is over.
 *
 * Rows are waited for, not skipped: of two who claim a batch at once one takes all of it, never each a part.
 *
 * @param allocationIds  those of a wake-up; rows that are settled, dead or not due are left out
 * @param leaseMs        above the longest delivery, ms
 * @throws STORE_UNAVAILABLE
 */
export async function claimBills(store: Store, allocationIds: readonly string[], leaseMs: number): Promise<readonly ClaimedBatch[]> {
  const rows = await translated(
    store.prisma.$queryRaw<BillRow[]>`
      WITH due AS (
        SELECT l.allocation_id FROM ledger l
        WHERE l.status = 'owed' AND l.next_attempt_at <= now() AND l.allocation_id IN (
          SELECT asked.id FROM unnest(${allocationIds}::text[]::uuid[]) AS asked (id)
          UNION
          SELECT other.allocation_id FROM ledger mine JOIN ledger other ON other.batch_id = mine.batch_id AND other.status = 'owed'
          WHERE mine.allocation_id = ANY (${allocationIds}::text[]::uuid[]) AND mine.status = 'owed')
        ORDER BY l.allocation_id
        FOR UPDATE OF l)
      UPDATE ledger l SET attempts = l.attempts + 1, next_attempt_at = now() + ${leaseMs} * interval '1 millisecond',
        batch_id = coalesce(l.batch_id, md5(${randomUUID()} || l.attempts)::uuid)
      FROM due WHERE l.allocation_id = due.allocation_id
      RETURNING l.batch_id::text AS "batchId", l.allocation_id::text AS "allocationId", l.device_id::text AS "deviceId", l.device_name AS "deviceName",
        l.user_id AS "userId", l.tenant_id AS "tenantId", l.cpu_cores AS "cpuCores", l.memory_mb AS "memoryMB", l.storage_mb AS "storageMB",
        l.duration_seconds AS "durationSeconds", l.started_at AS "startedAt", l.ended_at AS "endedAt"`,
  );
  return [...Map.groupBy(rows, ({ batchId }) => batchId)].map(([batchId, bills]) => ({ batchId, bills: bills.map(toBill) }));
}

function toBill({ batchId: _, ...bill }: BillRow): ClaimedBill {
  return bill;
}

/**
 * Notes that bills are on the books of the billing-service.
 *
 * @returns how many rows changed
 * @throws STORE_UNAVAILABLE
 */
export async function settleBills(store: Store, allocationIds: readonly string[]): Promise<number> {
  if (allocationIds.length === 0) return 0;
  return translated(
    store.prisma.$executeRaw`
      UPDATE ledger SET status = 'settled', settled_at = now(), last_error = NULL
      WHERE allocation_id = ANY (${allocationIds}::text[]::uuid[]) AND status = 'owed'`,
  );
}

/** A bill that was not taken. `answered`: billing said so itself; else nobody knows, and its batch stays together. */
export interface FailedBill extends FailedDelivery {
  readonly answered: boolean;
}

/**
 * Notes that bills were not taken: each is tried again after a pause, or becomes a dead letter after `maxAttempts`.
 * The random part of the pause is the same for all, so that a batch becomes due as a whole. Of each that is given up an event
 * tells (`billing.usage_report_failed`).
 *
 * @returns allocation ids of those that are dead now
 * @throws STORE_UNAVAILABLE
 */
export async function failBills(
  store: Store,
  failures: readonly FailedBill[],
  pause: Pause,
  maxAttempts: number,
): Promise<readonly string[]> {
  if (failures.length === 0) return [];
  return store.transaction(async (tx) => {
    const rows = await tx.$queryRaw<FailedRow[]>`
      UPDATE ledger l SET last_error = f.reason,
        status = CASE WHEN l.attempts >= ${maxAttempts} THEN 'dead' ELSE 'owed' END,
        batch_id = CASE WHEN f.answered THEN NULL ELSE l.batch_id END,
        next_attempt_at = now() + least(${pause.maxMs}::float8, greatest(f.wait, ${pause.baseMs}::float8 * 2 ^ least(l.attempts - 1, 30) * ${0.5 + Math.random() / 2}::float8)) * interval '1 millisecond'
      FROM jsonb_to_recordset(${failuresJson(failures)}::jsonb) AS f (id uuid, reason text, wait float8, answered boolean)
      WHERE l.allocation_id = f.id AND l.status = 'owed'
      RETURNING l.status = 'dead' AS dead, l.attempts AS "retryCount", l.last_error AS "failureReason",
        l.allocation_id::text AS "allocationId", l.device_id::text AS "deviceId", l.user_id AS "userId", l.tenant_id AS "tenantId", l.cpu_cores AS "cpuCores",
        l.memory_mb AS "memoryMB", l.storage_mb AS "storageMB", l.duration_seconds AS "durationSeconds", l.started_at AS "startedAt", l.ended_at AS "endedAt"`;
    const dead = rows.filter((row) => row.dead);
    await announceDead(tx, dead);
    return dead.map(({ allocationId }) => allocationId);
  });
}

interface FailedRow extends Omit<ClaimedBill, 'deviceName'> {
  readonly dead: boolean;
  readonly retryCount: number;
  readonly failureReason: string;
}

/** Bills that were given up are told to whoever listens to the dead letters. */
async function announceDead(tx: Transaction, dead: readonly FailedRow[]): Promise<void> {
  if (dead.length === 0) return;
  const events = dead.map(({ allocationId, deviceId, userId, tenantId, durationSeconds, cpuCores, memoryMB, storageMB, ...row }) =>
    usageReportFailed({
      ...{ allocationId, deviceId, userId, tenantId, usage: { durationSeconds, cpuCores, memoryMB, storageMB } },
      ...{ allocatedAt: row.startedAt, releasedAt: row.endedAt, failureReason: row.failureReason, retryCount: row.retryCount },
    }),
  );
  await tx.$executeRaw`
    INSERT INTO outbox (channel, topic, key, payload)
    SELECT 'event', x.topic, x.key, x.payload FROM jsonb_to_recordset(${JSON.stringify(events)}::jsonb) AS x(topic text, key text, payload jsonb)`;
}

/**
 * Gives claimed bills back unsent: the neighbour was not asked, so the attempt does not count.
 *
 * @param pauseMs  until the next attempt, ms
 * @throws STORE_UNAVAILABLE
 */
export async function giveBackBills(store: Store, allocationIds: readonly string[], pauseMs: number): Promise<void> {
  if (allocationIds.length === 0) return;
  await translated(
    store.prisma.$executeRaw`
      UPDATE ledger SET attempts = greatest(attempts - 1, 0), next_attempt_at = now() + ${pauseMs} * interval '1 millisecond'
      WHERE allocation_id = ANY (${allocationIds}::text[]::uuid[]) AND status = 'owed'`,
  );
}
