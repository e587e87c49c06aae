import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** Counts of one whole hour. */
export interface HourOfStats {
  readonly hour: Date;
  readonly granted: number;
  readonly refused: number;
  readonly released: number;
  readonly expired: number;
  readonly waitP50Ms: number | null;
  readonly waitP95Ms: number | null;
  readonly liveAllocations: number;
  readonly waitingRequests: number;
  readonly devices: number;
  readonly availableDevices: number;
}

/** The last hours a snapshot was taken of, oldest first. */
export async function readStatsHistory(store: Store, hours: number): Promise<readonly HourOfStats[]> {
  const newest = await translated(store.prisma.statsSnapshot.findMany({ orderBy: { hour: 'desc' }, take: hours, omit: { takenAt: true } }));
  return newest.toReversed();
}
