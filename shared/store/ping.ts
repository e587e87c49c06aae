import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** Asks Postgres for a sign of life. @throws SchedulerError STORE_UNAVAILABLE */
export async function pingStore(store: Store): Promise<void> {
  await translated(store.prisma.$queryRaw`SELECT 1`);
}
