import type { Limits } from '../quota/limits.ts';
import { type Reach, withinReach } from './reach.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** What we know of a user. Times are instants of the database's clock. */
export interface UserState {
  readonly userId: string;
  readonly tenantId: string | null;
  readonly state: 'active' | 'suspended' | 'deleted';
  readonly arrearsSince: Date | null;
  readonly paymentFailures: number;
  /** As the quota service said them last; nothing if it never did. */
  readonly limits: Limits | null;
  readonly limitsFetchedAt: Date | null;
  readonly use: { readonly devices: number; readonly cpuCores: number; readonly memoryMB: number; readonly storageMB: number };
}

/** One user with what they hold now, or nothing if there is none within reach. */
export async function readUserState(store: Store, userId: string, reach: Reach): Promise<UserState | undefined> {
  const [row] = await translated(store.prisma.$queryRaw<
    {
      id: string;
      tenant_id: string | null;
      state: UserState['state'];
      arrears_since: Date | null;
      payment_failures: number;
      limits: Limits | null;
      limits_fetched_at: Date | null;
      devices: number;
      cpu: number;
      memory: number;
      storage: number;
    }[]
  >`
    SELECT known.*, held.* FROM (
      SELECT u.*, u.id AS user_id FROM users u WHERE u.id = ${userId}) known
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS devices, coalesce(sum(cpu_cores), 0)::int AS cpu, coalesce(sum(memory_mb), 0)::int AS memory,
             coalesce(sum(storage_mb), 0)::int AS storage
      FROM allocations WHERE user_id = known.id AND ended_at IS NULL) held
    WHERE ${withinReach(reach, 'known')}`);
  if (row === undefined) return undefined;
  return {
    userId: row.id,
    tenantId: row.tenant_id,
    state: row.state,
    arrearsSince: row.arrears_since,
    paymentFailures: row.payment_failures,
    limits: row.limits,
    limitsFetchedAt: row.limits_fetched_at,
    use: { devices: row.devices, cpuCores: row.cpu, memoryMB: row.memory, storageMB: row.storage },
  };
}
