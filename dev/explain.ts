import { Prisma } from '../prisma/generated/client.ts';
import type { Store, Transaction } from '../shared/store/store.ts';

/** A node of a plan, as Postgres prints it. */
interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows'?: number;
  readonly 'Shared Hit Blocks'?: number;
  readonly 'Shared Read Blocks'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** What a statement reads, and how. */
export interface StatementPlan {
  readonly indexes: readonly string[];
  /** Tables read from end to end. */
  readonly scanned: readonly string[];
  /** Pages looked at. */
  readonly pages: number;
  /** Most rows any sort was given. */
  readonly sorted: number;
  /** Time in Postgres, planning included, ms. */
  readonly ms: number;
}

type Statements = Pick<Transaction, '$queryRaw' | '$queryRawUnsafe'>;

/**
 * Runs a verb of the store and tells how Postgres went about its statements: each is explained (and run) with its own
 * words and values, and then run as usual. For verbs that read: what changes rows would change them twice.
 */
export async function explained(store: Store, verb: (store: Store) => Promise<unknown>): Promise<StatementPlan[]> {
  const plans: StatementPlan[] = [];
  await verb({ ...store, prisma: explaining(store.prisma, plans) });
  return plans;
}

/** The same client, which notes the plan of every statement. */
export function explaining<Client extends Statements>(client: Client, plans: StatementPlan[]): Client {
  return new Proxy(client, {
    get: (target, name) => {
      if (name !== '$queryRaw') return Reflect.get(target, name);
      return async (words: TemplateStringsArray | Prisma.Sql, ...values: unknown[]) => {
        const statement = 'raw' in words ? Prisma.sql(words, ...values) : words;
        plans.push(await explain(target, statement));
        return target.$queryRaw(statement);
      };
    },
  });
}

async function explain(client: Statements, statement: Prisma.Sql): Promise<StatementPlan> {
  const [row] = await client.$queryRawUnsafe<
    { 'QUERY PLAN': readonly { Plan: PlanNode; 'Planning Time': number; 'Execution Time': number }[] }[]
  >(`EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ${statement.text}`, ...statement.values);
  const whole = row?.['QUERY PLAN'][0];
  if (whole === undefined) throw new Error('EXPLAIN said nothing');
  const nodes = flatten(whole.Plan);
  return {
    indexes: [...new Set(nodes.flatMap((node) => node['Index Name'] ?? []))],
    scanned: nodes.flatMap((node) => (node['Node Type'] === 'Seq Scan' ? (node['Relation Name'] ?? []) : [])),
    pages: (whole.Plan['Shared Hit Blocks'] ?? 0) + (whole.Plan['Shared Read Blocks'] ?? 0),
    sorted: Math.max(0, ...nodes.flatMap((node) => (node['Node Type'].includes('Sort') ? (node.Plans?.[0]?.['Actual Rows'] ?? 0) : []))),
    ms: whole['Planning Time'] + whole['Execution Time'],
  };
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}
