import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** One extension as it was. Times are instants of the database's clock. */
export interface PastExtension {
  readonly additionalMinutes: number;
  readonly oldExpiresAt: Date;
  readonly newExpiresAt: Date;
  readonly automatic: boolean;
  readonly reason: string | null;
  readonly extendedAt: Date;
  /** `user:<id>`, `service:<name>`, or `scheduler` for an automatic one. */
  readonly extendedBy: string;
}

/**
 * The extensions of an allocation, oldest first; of very many the last ones.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function readExtendHistory(store: Store, allocationId: string, limit: number): Promise<PastExtension[]> {
  const rows = await translated(
    store.prisma.extension.findMany({ where: { allocationId }, orderBy: { extendCount: 'desc' }, take: limit }),
  );
  return rows.toReversed().map(({ minutes, oldExpiresAt, newExpiresAt, automatic, reason, extendedAt, extendedBy }) => ({
    additionalMinutes: minutes,
    oldExpiresAt,
    newExpiresAt,
    automatic,
    reason,
    extendedAt,
    extendedBy,
  }));
}
