import { Prisma } from '../../prisma/generated/client.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** A live allocation that is to be extended by itself, and ends soon. */
export interface DueForExtension {
  readonly allocationId: string;
  readonly userId: string;
  readonly expiresAt: Date;
}

/**
 * Allocations asked for with `autoExtend` that end within the lead, the next to end first.
 *
 * @param leadSeconds  how long before the end
 * @param after        the last one of the page before
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function readDueForExtension(
  store: Store,
  leadSeconds: number,
  after: DueForExtension | undefined,
  limit: number,
): Promise<DueForExtension[]> {
  const beyond =
    after === undefined ? Prisma.sql`TRUE` : Prisma.sql`(expires_at, id) > (${after.expiresAt}::timestamptz, ${after.allocationId}::uuid)`;
  return translated(
    store.prisma.$queryRaw<DueForExtension[]>`
      SELECT id AS "allocationId", user_id AS "userId", expires_at AS "expiresAt" FROM allocations
      WHERE status = 'allocated' AND auto_extend AND expires_at > now() AND expires_at <= now() + make_interval(secs => ${leadSeconds}::float8) AND ${beyond}
      ORDER BY expires_at, id LIMIT ${limit}::int`,
  );
}
