import { Prisma } from '../../prisma/generated/client.ts';
import type { Store } from '../../shared/store/store.ts';

/** A node of a plan, as Postgres prints it. */
interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** What a statement would read, and how. */
export interface StatementPlan {
  readonly indexes: readonly string[];
  /** Tables read from end to end. */
  readonly scanned: readonly string[];
  /** Time in Postgres, planning included, ms. */
  readonly ms: number;
}

/**
 * Runs a verb of the store and tells how Postgres went about its statements: each is explained (and run) with its own
 * words and values, and then run as usual.
 */
export async function explained(store: Store, verb: (store: Store) => Promise<unknown>): Promise<StatementPlan[]> {
  const plans: StatementPlan[] = [];
  const prisma = new Proxy(store.prisma, {
    get: (target, name) => {
      if (name !== '$queryRaw') return Reflect.get(target, name);
      return async (strings: TemplateStringsArray, ...values: unknown[]) => {
        plans.push(await explain(store, Prisma.sql(strings, ...values)));
        return target.$queryRaw(strings, ...values);
      };
    },
  });
  await verb({ ...store, prisma });
  return plans;
}

async function explain({ prisma }: Store, statement: Prisma.Sql): Promise<StatementPlan> {
  const [row] = await prisma.$queryRawUnsafe<
    { 'QUERY PLAN': readonly { Plan: PlanNode; 'Planning Time': number; 'Execution Time': number }[] }[]
  >(`EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ${statement.text}`, ...statement.values);
  const whole = row?.['QUERY PLAN'][0];
  if (whole === undefined) throw new Error('EXPLAIN said nothing');
  const nodes = flatten(whole.Plan);
  return {
    indexes: [...new Set(nodes.flatMap((node) => node['Index Name'] ?? []))],
    scanned: nodes.flatMap((node) => (node['Node Type'] === 'Seq Scan' ? (node['Relation Name'] ?? []) : [])),
    ms: whole['Planning Time'] + whole['Execution Time'],
  };
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}
