import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient } from '../../prisma/generated/client.ts';
import { spannedWithin } from '../spans.ts';
import { POSTGRES_SPAN, translateStoreError } from './store-errors.ts';

/** How to reach Postgres. Times in ms. */
export interface StoreOptions {
  readonly databaseUrl: string;
  readonly poolSize: number;
  readonly acquireTimeoutMs: number;
  readonly statementTimeoutMs: number;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string;
}

/** The transaction half of the Prisma client: what the verbs of this folder take. */
export type Transaction = Parameters<Parameters<PrismaClient['$transaction']>[0]>[0];

/** An open door to Postgres. The verbs are functions of this folder that take it first. */
export interface Store {
  readonly prisma: PrismaClient;
  /** Runs one transaction, again when the database asks for it (deadlock, serialisation), at most three times. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

const TRIES = 3;

/** A transaction with its repeats. The statements are not told: they are known by the code that is in the transaction. */
const TRANSACTION_SPAN = { ...POSTGRES_SPAN, name: 'postgres transaction' };

/**
 * What holds for every statement of a connection.
 *
 * Plans are made anew each time, for the tables as they are: a plan kept from when a table was almost empty reads it from
 * end to end until the next ANALYZE, and ours grow by thousands of rows a second (the relay's look at the outbox cost
 * five times as much after half a minute of 100 requests a second). Statements of a group keep theirs, see `BY_INDEX`.
 * The isolation level said here costs no round trip; said to Prisma, it costs one a transaction.
 */
const SESSION = '-c plan_cache_mode=force_custom_plan -c jit=off -c default_transaction_isolation=read\\ committed';

/**
 * Opens a pool. Nothing connects before the first statement.
 *
 * The statement, lock and idle limits on the pool are below Prisma's own transaction timeout: Postgres ends what hangs,
 * so that a transaction Prisma gave up on can never commit half (prisma/orm#29762).
 */
export function createStore(options: StoreOptions): Store {
  const { statementTimeoutMs } = options;
  const adapter = new PrismaPg(
    {
      connectionString: options.databaseUrl,
      max: options.poolSize,
      connectionTimeoutMillis: options.acquireTimeoutMs,
      idleTimeoutMillis: 30_000,
      keepAlive: true,
      application_name: options.applicationName,
      statement_timeout: statementTimeoutMs,
      lock_timeout: Math.ceil(statementTimeoutMs / 2),
      idle_in_transaction_session_timeout: statementTimeoutMs,
      options: SESSION,
    },
    { statementNameGenerator: createStatementNames() },
  );
  const prisma = new PrismaClient({
    adapter,
    errorFormat: 'minimal',
    transactionOptions: { maxWait: options.acquireTimeoutMs, timeout: 3 * statementTimeoutMs },
  });
  return {
    prisma,
    transaction: (work) =>
      spannedWithin(
        () => TRANSACTION_SPAN,
        () => withRetry(() => prisma.$transaction(work)),
      ),
    close: () => prisma.$disconnect(),
  };
}

/** Statements a connection keeps planned. Above it the rest is planned each time, so that odd texts cannot fill the server. */
const MOST_STATEMENTS = 300;

/**
 * Names statements by their text, so that Postgres reads each once per connection and can keep its plan: a group's few
 * large statements cost as much to plan as to run. A pooler between must support prepared statements (PgBouncer since 1.21).
 */
function createStatementNames(): (query: { sql: string }) => string {
  const names = new Map<string, string>();
  return ({ sql }) => {
    const known = names.get(sql);
    if (known !== undefined || names.size >= MOST_STATEMENTS) return known ?? '';
    const name = `s${names.size}`;
    names.set(sql, name);
    return name;
  };
}

async function withRetry<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      const { retryable, translated } = translateStoreError(error);
      if (!retryable || tries === TRIES) throw translated;
    }
  }
}
