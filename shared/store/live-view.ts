import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** A live allocation as a list shows it. */
export interface LiveAllocation {
  readonly id: string;
  readonly deviceId: string;
  readonly deviceName: string;
  readonly userId: string;
  readonly tier: string;
  readonly allocatedAt: Date;
  readonly expiresAt: Date;
}

/** How many allocations live, and those that end first. */
export async function readLive(
  store: Store,
  limit: number,
): Promise<{ readonly count: number; readonly ending: readonly LiveAllocation[] }> {
  const [[counted], ending] = await translated(
    Promise.all([
      store.prisma.$queryRaw<{ count: number }[]>`SELECT count(*)::int AS count FROM allocations WHERE status = 'allocated'`,
      store.prisma.$queryRaw<LiveAllocation[]>`
        SELECT id::text AS id, device_id::text AS "deviceId", device_name AS "deviceName", user_id AS "userId", tier,
          allocated_at AS "allocatedAt", expires_at AS "expiresAt"
        FROM allocations WHERE status = 'allocated' ORDER BY expires_at, id LIMIT ${limit}::int`,
    ]),
  );
  return { count: counted?.count ?? 0, ending };
}
