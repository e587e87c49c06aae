import { messageOf, SchedulerError } from '../errors.ts';
import { type SpanStart, spannedWithin } from '../spans.ts';

/** SQLSTATEs after which the same transaction may simply be run again: nothing of it has happened. */
const RETRYABLE_STATES = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
]);

/** SQLSTATE classes and codes that mean "the database is not there now", not "the statement is wrong". */
const UNAVAILABLE_STATES = new Set([
  '53000', // insufficient_resources
  '53100', // disk_full
  '53200', // out_of_memory
  '53300', // too_many_connections
  '55P03', // lock_not_available (lock_timeout)
  '57014', // query_canceled (statement_timeout)
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '25P03', // idle_in_transaction_session_timeout
  '25006', // read_only_sql_transaction (a demoted primary)
]);

/** Prisma's own codes for a database that cannot be reached or a pool that is empty. */
const UNAVAILABLE_PRISMA = new Set(['P1000', 'P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028', 'P2037']);

const UNAVAILABLE_SOCKET =
  /ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Can't reach database server|Server has closed the connection|ConnectionClosed|not queryable/i;

/**
 * Turns what Prisma or the driver threw into an error of the catalogue, once, at the edge, the original kept as cause.
 *
 * @returns `retryable`: the transaction can be run again as it is; `translated`: what to throw otherwise
 */
export function translateStoreError(error: unknown): { retryable: boolean; translated: unknown } {
  if (error instanceof SchedulerError) return { retryable: false, translated: error };
  const state = sqlStateOf(error);
  if (state !== undefined && RETRYABLE_STATES.has(state)) {
    return { retryable: true, translated: new SchedulerError('STORE_UNAVAILABLE', { cause: error, retryAfter: 1 }) };
  }
  if (isUnavailable(error, state)) {
    return { retryable: false, translated: new SchedulerError('STORE_UNAVAILABLE', { cause: error, retryAfter: 1 }) };
  }
  return { retryable: false, translated: error };
}

/** What Postgres does for somebody. */
export const POSTGRES_SPAN: SpanStart = { name: 'postgres statement', kind: 'client', attributes: { 'db.system.name': 'postgresql' } };

/** Runs a statement outside a transaction with the same translation. */
export async function translated<T>(statement: Promise<T>): Promise<T> {
  try {
    // Prisma sends a statement when it is awaited.
    return await spannedWithin(
      () => POSTGRES_SPAN,
      async () => statement,
    );
  } catch (error) {
    throw translateStoreError(error).translated;
  }
}

/** Whether the database refuses what it was given, whoever gives it and however often (class 22, data exception). */
export function isUnstorable(error: unknown): boolean {
  return sqlStateOf(error)?.startsWith('22') ?? false;
}

/** The SQLSTATE anywhere in the chain of causes, or nothing. */
export function sqlStateOf(error: unknown): string | undefined {
  for (const part of chainOf(error)) {
    for (const key of ['originalCode', 'code', 'sqlState']) {
      const value = part[key];
      if (typeof value === 'string' && /^[0-9A-Z]{5}$/.test(value) && !value.startsWith('P1') && !value.startsWith('P2')) return value;
    }
  }
  return undefined;
}

function isUnavailable(error: unknown, state: string | undefined): boolean {
  if (state !== undefined && (UNAVAILABLE_STATES.has(state) || state.startsWith('08'))) return true;
  return (
    chainOf(error).some((part) => {
      const code = part['code'] ?? part['errorCode'];
      return (
        (typeof code === 'string' && UNAVAILABLE_PRISMA.has(code)) || UNAVAILABLE_SOCKET.test(String(part['message'] ?? part['kind'] ?? ''))
      );
    }) || UNAVAILABLE_SOCKET.test(messageOf(error))
  );
}

/** The error, its causes, and Prisma's `meta.driverAdapterError`, outermost first; at most ten deep. */
function chainOf(error: unknown): Record<string, unknown>[] {
  const chain: Record<string, unknown>[] = [];
  const queue: unknown[] = [error];
  while (queue.length > 0 && chain.length < 10) {
    const part = queue.shift();
    if (typeof part !== 'object' || part === null) continue;
    const record = part as Record<string, unknown>;
    chain.push(record);
    queue.push(record['cause'], record['meta'], record['driverAdapterError']);
  }
  return chain;
}
