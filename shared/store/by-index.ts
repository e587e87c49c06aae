import { Prisma } from '../../prisma/generated/client.ts';

/**
 * For the rest of the transaction: rows are found one by one through their indexes, and the plans for that are kept. To be
 * put into the FROM of the first statement; costs no round trip.
 *
 * The statements of a group cost as much to plan as to run, so their plans are worth keeping; but a kept plan that was made
 * while the tables were almost empty reads them from end to end, and stays until the next ANALYZE: seen at full load were
 * 60–400 ms a group instead of 3. For groups of ids point look-ups are never far from the best, however large the tables.
 */
export const BY_INDEX = Prisma.sql`(SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
  set_config('enable_mergejoin', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)) AS by_index`;
