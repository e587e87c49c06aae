import { Prisma } from '../../prisma/generated/client.ts';
import type { StrategyType } from '../placement/strategy.ts';

/** How each strategy ranks devices of a kind: `STRATEGY_ORDERS`, in the columns of its index (`strategy-indexes.ts`). */
export const PICK_ORDERS: Readonly<Record<StrategyType, Prisma.Sql>> = {
  resource_based: Prisma.sql`d.resource_score DESC, d.id`,
  locality_aware: Prisma.sql`d.resource_score DESC, d.id`,
  load_balancing: Prisma.sql`d.resource_score DESC, d.id`,
  round_robin: Prisma.sql`d.turn, d.id`,
  weighted_round_robin: Prisma.sql`d.turn, d.id`,
  least_connection: Prisma.sql`d.cpu_usage, d.turn, d.id`,
  resource_efficiency: Prisma.sql`d.storage_mb, d.id`,
  cost_optimization: Prisma.sql`d.cost_per_hour, d.resource_score DESC, d.id`,
};

/** What is read of a device that is picked. */
export const PICKED = Prisma.sql`d.id, d.name, d.status, d.fence, d.cpu_cores, d.memory_mb, d.storage_mb, d.resource_score, d.cost_per_hour,
          extract(epoch FROM greatest(date_trunc('milliseconds', statement_timestamp()), d.updated_at)) * 1000 AS free_since_ms`;
