import { Prisma } from '../../prisma/generated/client.ts';
import { SchedulerError } from '../errors.ts';
import { checkStrategy, defaultStrategy, isStrategyType, type Strategy, type StrategyType } from '../placement/strategy.ts';
import { countNodes, forgetNodes } from './node-loads.ts';
import type { Store, Transaction } from './store.ts';
import { sqlStateOf, translated } from './store-errors.ts';
import { dropIndex, makeIndexes, staleIndexes } from './strategy-indexes.ts';
import { lockStrategies } from './strategy-locks.ts';

/** A stored strategy. */
export interface StoredStrategy {
  readonly id: string;
  readonly name: string;
  readonly type: StrategyType;
  readonly description: string | null;
  readonly config: Readonly<Record<string, unknown>>;
  readonly priority: number;
  readonly active: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What of a strategy is said by whoever makes or changes it. */
export type StrategyWords = Pick<StoredStrategy, 'name' | 'type' | 'description' | 'priority'> & { readonly config: Strategy['config'] };

const COLUMNS = Prisma.sql`id, name, type, description, config, priority, active, created_at AS "createdAt", updated_at AS "updatedAt"`;

/**
 * A page of them, by priority, the highest first, then by name, and how many there are in all.
 *
 * @param after  the last one of the page before
 */
export async function listStrategies(
  store: Store,
  limit: number,
  after?: Pick<StoredStrategy, 'priority' | 'name'>,
): Promise<{ items: StoredStrategy[]; total: number; more: boolean }> {
  const later =
    after === undefined
      ? Prisma.sql`TRUE`
      : Prisma.sql`priority <= ${after.priority}::int AND (priority < ${after.priority}::int OR name > ${after.name})`;
  const [rows, counts] = await Promise.all([
    translated(
      store.prisma.$queryRaw<StoredStrategy[]>`
        SELECT ${COLUMNS} FROM strategies WHERE ${later} ORDER BY priority DESC, name LIMIT ${limit + 1}::int`,
    ),
    translated(store.prisma.$queryRaw<{ total: number }[]>`SELECT count(*)::int AS total FROM strategies`),
  ]);
  return { items: rows.slice(0, limit), total: counts[0]?.total ?? 0, more: rows.length > limit };
}

/** @throws SchedulerError STRATEGY_NOT_FOUND */
export async function readStrategy(store: Store, id: string): Promise<StoredStrategy> {
  return found(await translated(store.prisma.$queryRaw<StoredStrategy[]>`SELECT ${COLUMNS} FROM strategies WHERE id = ${id}::uuid`));
}

/** The one in force. */
export async function readActiveStrategy(store: Store): Promise<StoredStrategy> {
  return found(await translated(store.prisma.$queryRaw<StoredStrategy[]>`SELECT ${COLUMNS} FROM strategies WHERE active`));
}

/** The rule a row stands for. Settings are checked before they are stored; those of another version may lack one, or have one too many. */
export function strategyOf({ type, config }: Pick<StoredStrategy, 'type' | 'config'>): Strategy {
  if (!isStrategyType(type)) return defaultStrategy('resource_based');
  const checked = checkStrategy(type, config);
  return checked.ok ? checked.strategy : defaultStrategy(type);
}

/** @throws SchedulerError STRATEGY_NAME_TAKEN */
export async function createStrategy(store: Store, words: StrategyWords): Promise<StoredStrategy> {
  const { name, type, description, config, priority } = words;
  return found(
    await named(
      store.prisma.$queryRaw<StoredStrategy[]>`
        INSERT INTO strategies (id, name, type, description, config, priority)
        VALUES (gen_random_uuid(), ${name}, ${type}, ${description}, ${JSON.stringify(config)}::jsonb, ${priority}) RETURNING ${COLUMNS}`,
    ),
  );
}

/**
 * Says a strategy anew, the active one as well: what it becomes is in force within two seconds.
 *
 * @throws SchedulerError STRATEGY_NOT_FOUND, STRATEGY_NAME_TAKEN
 */
export async function replaceStrategy(store: Store, id: string, words: StrategyWords): Promise<StoredStrategy> {
  const { name, type, description, config, priority } = words;
  return named(
    store.transaction(async (tx) => {
      await lockStrategies(tx);
      const [before] = await tx.$queryRaw<StoredStrategy[]>`SELECT ${COLUMNS} FROM strategies WHERE id = ${id}::uuid`;
      if (before?.active === true) await prepare(tx, before.type, type);
      return found(
        await tx.$queryRaw<StoredStrategy[]>`
          UPDATE strategies SET name = ${name}, type = ${type}, description = ${description}, config = ${JSON.stringify(config)}::jsonb,
            priority = ${priority}, updated_at = now()
          WHERE id = ${id}::uuid RETURNING ${COLUMNS}`,
      );
    }),
  );
}

/** @throws SchedulerError STRATEGY_NOT_FOUND, STRATEGY_ACTIVE for the one in force */
export async function deleteStrategy(store: Store, id: string): Promise<void> {
  const rows = await translated(
    store.prisma.$queryRaw<{ deleted: boolean }[]>`
      WITH deleted AS (DELETE FROM strategies WHERE id = ${id}::uuid AND NOT active RETURNING id)
      SELECT EXISTS (SELECT FROM deleted) AS deleted FROM strategies WHERE id = ${id}::uuid`,
  );
  if (!found(rows).deleted) throw new SchedulerError('STRATEGY_ACTIVE');
}

/** Puts a strategy in force, on every process within two seconds. @throws SchedulerError STRATEGY_NOT_FOUND */
export async function activateStrategy(store: Store, id: string): Promise<StoredStrategy> {
  return store.transaction(async (tx) => {
    await lockStrategies(tx);
    return activate(tx, id);
  });
}

/** Puts a type in force: its strategy of the highest priority, or a new one with its defaults if there is none. */
export async function activateType(store: Store, type: StrategyType): Promise<StoredStrategy> {
  return store.transaction(async (tx) => {
    await lockStrategies(tx);
    const [known] = await tx.$queryRaw<{ id: string }[]>`
      SELECT id FROM strategies WHERE type = ${type} ORDER BY active DESC, priority DESC, name LIMIT 1`;
    const [made] =
      known !== undefined
        ? [known]
        : await tx.$queryRaw<{ id: string }[]>`
            INSERT INTO strategies (id, name, type)
            SELECT n.id, CASE WHEN EXISTS (SELECT FROM strategies WHERE name = ${type}) THEN ${type} || ' ' || n.id ELSE ${type} END, ${type}
            FROM (SELECT gen_random_uuid() AS id) n RETURNING id`;
    return activate(tx, found([made]).id);
  });
}

async function activate(tx: Transaction, id: string): Promise<StoredStrategy> {
  const next = found(await tx.$queryRaw<StoredStrategy[]>`SELECT ${COLUMNS} FROM strategies WHERE id = ${id}::uuid FOR UPDATE`);
  if (next.active) return next;
  const before = found(await tx.$queryRaw<StoredStrategy[]>`SELECT ${COLUMNS} FROM strategies WHERE active`);
  await prepare(tx, before.type, next.type);
  await tx.$executeRaw`UPDATE strategies SET active = false, updated_at = now() WHERE active`;
  return found(
    await tx.$queryRaw<
      StoredStrategy[]
    >`UPDATE strategies SET active = true, updated_at = now() WHERE id = ${id}::uuid RETURNING ${COLUMNS}`,
  );
}

/** Makes what the next strategy stands on. Indexes first: whoever waits for them holds no row of a node. */
async function prepare(tx: Transaction, before: StrategyType, next: StrategyType): Promise<void> {
  await makeIndexes(tx, next);
  if (next === 'load_balancing') await countNodes(tx);
  else if (before === 'load_balancing') await forgetNodes(tx);
}

/** Longest wait for the lock that dropping an index takes: everybody who needs a device waits behind it. */
const DROP_WAIT = '500ms';

/**
 * Drops what strategies that are not in force any more have left, and counts the nodes anew while their loads matter.
 * Nothing is dropped that was in force within the last ten seconds: a process may still walk it.
 *
 * @returns the names of the indexes that were dropped
 * @throws SchedulerError STORE_UNAVAILABLE when the fleet is too busy for it; it can wait
 */
export async function tidyStrategies(store: Store): Promise<string[]> {
  const active = await readActiveStrategy(store);
  const dropped: string[] = [];
  const stale = await store.transaction(async (tx) => {
    await lockStrategies(tx);
    if (active.type === 'load_balancing' && (await isActive(tx, active.id))) await countNodes(tx);
    return staleIndexes(tx, active.type);
  });
  for (const name of stale) {
    const gone = await store.transaction(async (tx) => {
      await lockStrategies(tx);
      const [now] = await tx.$queryRaw<{ type: StrategyType; settled: boolean }[]>`
        SELECT type, updated_at < now() - interval '10 seconds' AS settled FROM strategies WHERE active`;
      if (now?.settled !== true || !(await staleIndexes(tx, now.type)).includes(name)) return false;
      await tx.$executeRaw`SELECT set_config('lock_timeout', ${DROP_WAIT}, true)`;
      await dropIndex(tx, name);
      return true;
    });
    if (gone) dropped.push(name);
  }
  return dropped;
}

async function isActive(tx: Transaction, id: string): Promise<boolean> {
  const rows = await tx.$queryRaw<unknown[]>`SELECT FROM strategies WHERE id = ${id}::uuid AND active AND type = 'load_balancing'`;
  return rows.length > 0;
}

function found<T>(rows: readonly (T | undefined)[]): T {
  const [row] = rows;
  if (row === undefined) throw new SchedulerError('STRATEGY_NOT_FOUND');
  return row;
}

const UNIQUE_VIOLATION = '23505';

/** Says that a name is taken in the words of the catalogue. */
async function named<T>(statement: Promise<T>): Promise<T> {
  try {
    return await translated(statement);
  } catch (error) {
    if (sqlStateOf(error) !== UNIQUE_VIOLATION) throw error;
    throw new SchedulerError('STRATEGY_NAME_TAKEN', { details: { field: 'name' }, cause: error });
  }
}
