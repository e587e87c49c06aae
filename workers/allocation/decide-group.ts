import { type BatchRule, isBound } from '../../shared/allocation/decide-batch.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { Locks } from '../../shared/run/lock.ts';
import type { GrantPolicy, GroupOutcome } from '../../shared/store/grant-group.ts';
import { grantGroup } from '../../shared/store/grant-group.ts';
import type { Store } from '../../shared/store/store.ts';
import type { AllocateItem } from './allocate.ts';

/** What a group needs: the store, the locks in front of it (none: correctness does not need them), whom to tell. */
export interface DecideGroupParts {
  readonly store: Store;
  readonly locks: Locks | undefined;
  readonly policy: () => GrantPolicy;
  /** Tells the callers and everybody who cares that something changed. Losing this loses no outcome: the rows hold it. */
  readonly announce: (items: readonly AllocateItem[], outcomes: readonly GroupOutcome[]) => Promise<void>;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** After so many deferrals a request goes on without the lock: the database decides anyway, a lock only saves work. */
const MOST_DEFERRALS = 8;

/**
 * Decides one group: lock, grant, tell.
 *
 * A request whose user or device another worker is deciding on right now is put off instead of holding up the group
 * behind a row lock; of a batch whose requests depend on each other, all are put off then.
 *
 * @param batch  the items are one batch
 * @returns outcomes in the order of the items
 */
export async function decideGroup(parts: DecideGroupParts, items: readonly AllocateItem[], batch?: BatchRule): Promise<GroupOutcome[]> {
  const { ready: free, release } = await lockAll(parts, items);
  faultPoint('grant.3');
  const ready = batch !== undefined && isBound(batch) && free.length < items.length ? [] : free;
  const decided = await grant(parts, ready, batch).catch(async (error: unknown) => {
    await release();
    throw error;
  });
  faultPoint('grant.7');
  // Both in one write to Redis.
  await Promise.all([parts.announce(ready, decided), release()]);
  faultPoint('grant.8');
  const byItem = new Map(ready.map((item, position) => [item, decided[position]]));
  return items.map((item) => byItem.get(item) ?? { status: 'contended', requestId: item.request.requestId });
}

function grant({ store, policy }: DecideGroupParts, ready: readonly AllocateItem[], batch?: BatchRule): Promise<GroupOutcome[]> {
  return ready.length === 0 ? Promise.resolve([]) : grantGroup(store, ready, policy(), batch);
}

async function lockAll({ locks, metrics }: DecideGroupParts, items: readonly AllocateItem[]) {
  if (locks === undefined) return { ready: items, release: async () => undefined };
  const lease = await locks.acquire([...new Set(items.flatMap(keysOf))]);
  const ready = items.filter((item) => item.deferrals >= MOST_DEFERRALS || keysOf(item).every((key) => lease.held.has(key)));
  metrics.lockDeferrals.inc(items.length - ready.length);
  return { ready, release: () => lease.release() };
}

function keysOf({ request }: AllocateItem): string[] {
  const deviceId = request.asked.devicePreferences?.deviceId;
  return deviceId === undefined ? [`user:${request.userId}`] : [`user:${request.userId}`, `device:${deviceId}`];
}
