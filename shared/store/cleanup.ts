import type { Store } from './store.ts';

/** How long things that are over are kept. */
export interface Retention {
  readonly idempotencyHours: number;
  readonly outboxDays: number;
  readonly inboxDays: number;
}

/** Rows removed by one statement: small, so that no lock is held long. */
const BATCH = 1_000;

/** Removes what is over and settled, in small batches. @returns rows removed by table */
export async function cleanUp(store: Store, retention: Retention, signal: AbortSignal): Promise<Record<string, number>> {
  const { prisma } = store;
  return {
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
