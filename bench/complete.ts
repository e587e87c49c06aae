import { checkInvariants } from '../shared/store/invariants.ts';
import type { Store } from '../shared/store/store.ts';

/**
 * A figure counts only if the work was done: so many requests granted, each with its allocation and its two outbox rows,
 * and no invariant broken.
 *
 * @throws Error saying what is missing
 */
export async function assertComplete(store: Store, grants: number): Promise<void> {
  const [counted] = await store.prisma.$queryRaw<{ granted: number; allocations: number; outbox: number }[]>`
    SELECT (SELECT count(*)::int FROM requests WHERE status = 'granted') AS granted,
           (SELECT count(*)::int FROM allocations WHERE status = 'allocated') AS allocations,
           (SELECT count(*)::int FROM outbox WHERE topic IN ('device.allocated', 'increment')) AS outbox`;
  if (counted?.granted !== grants || counted.allocations !== grants || counted.outbox !== 2 * grants) {
    throw new Error(`${grants} grants were expected, but Postgres holds ${JSON.stringify(counted)}`);
  }
  await assertUnbroken(store);
}

/** @throws Error saying which invariants are broken */
export async function assertUnbroken(store: Store): Promise<void> {
  const broken = (await checkInvariants(store)).checks.filter(({ ok }) => !ok);
  if (broken.length > 0) throw new Error(`broken: ${broken.map(({ name, violations }) => `${name} (${violations})`).join(', ')}`);
}
