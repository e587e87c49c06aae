import type { Store } from './store.ts';

/** How long things that are over are kept. */
export interface Retention {
  readonly allocationDays: number;
  readonly idempotencyHours: number;
  readonly outboxDays: number;
  readonly inboxDays: number;
}

/** Rows removed by one statement: small, so that no lock is held long. */
const BATCH = 1_000;

/**
 * Removes what is over and settled, in small batches. An allocation goes together with its bill and its request, and only
 * once the bill is settled: what is owed, or was given up, is kept for good.
 *
 * @returns rows removed by table
 */
export async function cleanUp(store: Store, retention: Retention, signal: AbortSignal): Promise<Record<string, number>> {
  const { prisma } = store;
  return {
    allocations: await inBatches(
      signal,
      () => prisma.$executeRaw`
      WITH old AS (
        SELECT a.id, a.request_id FROM allocations a JOIN ledger l ON l.allocation_id = a.id
        WHERE a.status <> 'allocated' AND a.ended_at < now() - make_interval(days => ${retention.allocationDays}::int) AND l.status = 'settled'
        ORDER BY a.ended_at, a.id LIMIT ${BATCH} FOR UPDATE OF a SKIP LOCKED
      ), bills AS (
        DELETE FROM ledger l USING old WHERE l.allocation_id = old.id
      ), asked AS (
        DELETE FROM requests r USING old WHERE r.id = old.request_id
      )
      DELETE FROM allocations a USING old WHERE a.id = old.id`,
    ),
    requests: await inBatches(
      signal,
      () => prisma.$executeRaw`
      DELETE FROM requests WHERE id IN (
        SELECT id FROM requests WHERE decided_at < now() - make_interval(days => ${retention.allocationDays}::int) AND allocation_id IS NULL
        ORDER BY decided_at, id LIMIT ${BATCH})`,
    ),
    idempotency_keys: await inBatches(
      signal,
      () => prisma.$executeRaw`
      DELETE FROM idempotency_keys WHERE (caller, key) IN (
        SELECT caller, key FROM idempotency_keys WHERE created_at < now() - make_interval(hours => ${retention.idempotencyHours}::int) LIMIT ${BATCH})`,
    ),
    outbox: await inBatches(
      signal,
      () => prisma.$executeRaw`
      DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE status = 'delivered' AND delivered_at < now() - make_interval(days => ${retention.outboxDays}::int) LIMIT ${BATCH})`,
    ),
    inbox: await inBatches(
      signal,
      () => prisma.$executeRaw`
      DELETE FROM inbox WHERE event_id IN (
        SELECT event_id FROM inbox WHERE received_at < now() - make_interval(days => ${retention.inboxDays}::int) LIMIT ${BATCH})`,
    ),
  };
}

async function inBatches(signal: AbortSignal, remove: () => Promise<number>): Promise<number> {
  let total = 0;
  for (;;) {
    signal.throwIfAborted();
    const removed = await remove();
    total += removed;
    if (removed < BATCH) return total;
  }
}
