import { OUT_OF_SERVICE } from '../consumed/decide-loss.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/**
 * Devices that are out of service and still held: whoever should have ended their leases was lost on the way.
 *
 * @param graceSeconds  not those that were changed less than so long ago: somebody is at it
 * @returns ids, so many at most
 */
export async function unsettledDevices(store: Store, graceSeconds: number, limit: number): Promise<readonly string[]> {
  const rows = await translated(
    store.prisma.$queryRaw<{ id: string }[]>`
      SELECT id::text AS id FROM devices WHERE allocation_id IS NOT NULL AND status <> 'running' AND status = ANY(${[...OUT_OF_SERVICE]}::text[])
        AND updated_at < now() - make_interval(secs => ${graceSeconds}::int) ORDER BY id LIMIT ${limit}::int`,
  );
  return rows.map(({ id }) => id);
}
