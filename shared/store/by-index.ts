import { Prisma } from '../../prisma/generated/client.ts';

/**
 * For the rest of the transaction: rows are found one by one through their indexes, and nothing is compiled. To be put
 * into the FROM of the first statement; costs no round trip.
 *
 * Postgres keeps the plan of a statement it has seen five times, and these tables grow by thousands of rows a second. A
 * plan made while they were almost empty reads them from end to end, and stays until the next ANALYZE: seen at full load
 * were 60–400 ms a group instead of 3. For groups of ids point look-ups are never far from the best.
 */
export const BY_INDEX = Prisma.sql`(SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
  set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)) AS by_index`;
