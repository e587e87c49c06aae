import type { Transaction } from './store.ts';

/** Numbers of advisory locks; any, as long as nothing else takes them. */
const SPREADING = 7_270_736_904n;
const CHANGING = 7_270_736_905n;

/**
 * Waits until no other group spreads devices: two that looked at the same loads would both fill the same nodes. To be called
 * first in a transaction, before any row is locked; the lock ends with it.
 */
export async function awaitTurn(tx: Transaction): Promise<void> {
  await tx.$executeRaw`SELECT pg_advisory_xact_lock(${SPREADING})`;
}

/** Changes of strategy, and what is tidied after them, take turns. To be called first; the lock ends with the transaction. */
export async function lockStrategies(tx: Transaction): Promise<void> {
  await tx.$executeRaw`SELECT pg_advisory_xact_lock(${CHANGING})`;
}
