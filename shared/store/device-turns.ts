import { Prisma } from '../../prisma/generated/client.ts';
import type { Strategy } from '../placement/strategy.ts';
import { LAP, STRIDE } from '../placement/turns.ts';
import { MORE_HELD } from './node-loads.ts';

/** What a strategy keeps beside a grant, as parts of the statement that writes it. Empty where it keeps nothing. */
export interface Bookkeeping {
  /** More of what is set of each granted device `d`. */
  readonly set: Prisma.Sql;
  /** More to read from beside the granted rows. */
  readonly from: Prisma.Sql;
  /** What is known of `held`. */
  readonly returning: Prisma.Sql;
  /** More common table expressions; `granted` are the rows to be written, `held` those that were. */
  readonly before: Prisma.Sql;
  readonly after: Prisma.Sql;
}

const NOTHING: Bookkeeping = {
  set: Prisma.empty,
  from: Prisma.empty,
  returning: Prisma.sql`g.*`,
  before: Prisma.empty,
  after: Prisma.empty,
};

/** `nextTurn` and the loads of nodes in SQL. The clock is the sequence `device_turns`. */
export function bookkeepingOf(strategy: Strategy): Bookkeeping {
  switch (strategy.type) {
    case 'round_robin':
      return inTurn(Prisma.sql`clock.at - ${LAP}::int`, Prisma.sql`${LAP}::int`);
    case 'least_connection':
      return { ...NOTHING, set: Prisma.sql`, turn = greatest(d.turn, nextval('device_turns')) + ${strategy.config.window}::int` };
    case 'weighted_round_robin':
      return byStride(strategy.config);
    case 'load_balancing':
      return { ...NOTHING, returning: Prisma.sql`g.*, d.node_id, d.region, d.provider_type`, after: MORE_HELD };
    default:
      return NOTHING;
  }
}

function byStride({ cpu, memory }: { readonly cpu: number; readonly memory: number }): Bookkeeping {
  const weight = Prisma.sql`greatest(1, (d.cpu_cores * (100 - d.cpu_usage) / 8 * ${cpu}::float8 + d.memory_mb * (100 - d.memory_usage) / 16384 * ${memory}::float8)
        / (${cpu}::float8 + ${memory}::float8))`;
  return inTurn(Prisma.sql`clock.at`, Prisma.sql`${STRIDE}::int / ${weight}`);
}

/** Puts each granted device back by a distance from its place, but from no earlier place than `floor`. */
function inTurn(floor: Prisma.Sql, distance: Prisma.Sql): Bookkeeping {
  return {
    ...NOTHING,
    // The clock moves on to the furthest turn that was taken, and never back.
    before: Prisma.sql`clock AS MATERIALIZED (
      SELECT last_value AS at, setval('device_turns', greatest(last_value,
        (SELECT floor(max(d.turn))::bigint FROM devices d WHERE d.id IN (SELECT device_id FROM granted))))
      FROM device_turns
    ), `,
    from: Prisma.sql`, clock`,
    set: Prisma.sql`, turn = greatest(d.turn, ${floor}) + ${distance}`,
  };
}
