import { type Candidate, preferenceScore } from '../placement/rank-devices.ts';
import type { Preference } from '../placement/requirement.ts';
import { fits, type Needs } from './needs.ts';

/** A free device. `freeMinutes`: until its next reservation, `Infinity` without one. */
export interface FreeDevice extends Candidate {
  readonly freeMinutes: number;
}

/** A waiting request, as far as the match goes. */
export interface Waiter {
  readonly requestId: string;
  readonly rank: Date;
  readonly tenantId: string | null;
  readonly needs: Needs;
  readonly wantedDevice: string | null;
  readonly durationMinutes: number;
  readonly preference: Preference;
}

/** A device and the request it goes to. */
export interface Match<W extends Waiter = Waiter> {
  readonly waiter: W;
  readonly device: FreeDevice;
}

/**
 * The policy: in the order of their ranks, each waiting request takes a free device that it can use. So the first that a
 * device matches has it, and nobody is held up by somebody whom no free device suits.
 *
 * Of several devices it takes the one it wishes for, else the smallest: larger ones are left to those who need them.
 *
 * @param mayTry  false for a device that was tried for this request and turned out not to suit
 */
export function matchDevices<W extends Waiter>(
  devices: readonly FreeDevice[],
  waiters: readonly W[],
  mayTry: (match: Match<W>) => boolean = () => true,
): Match<W>[] {
  const free = new Set(devices);
  const matches: Match<W>[] = [];
  for (const waiter of [...waiters].sort(byRank)) {
    if (free.size === 0) break;
    const device = bestFor(
      waiter,
      [...free].filter((candidate) => suits(waiter, candidate) && mayTry({ waiter, device: candidate })),
    );
    if (device === undefined) continue;
    free.delete(device);
    matches.push({ waiter, device });
  }
  return matches;
}

/** Whether this request can use this device. */
export function suits(waiter: Waiter, device: FreeDevice): boolean {
  return (
    (device.tenantId === null || device.tenantId === waiter.tenantId) &&
    (waiter.wantedDevice === null || waiter.wantedDevice === device.id) &&
    waiter.durationMinutes <= device.freeMinutes &&
    fits(waiter.needs, device)
  );
}

function bestFor({ preference }: Waiter, devices: readonly FreeDevice[]): FreeDevice | undefined {
  return devices.toSorted((a, b) => compare(a, b, preference))[0];
}

function compare(a: FreeDevice, b: FreeDevice, wish: Preference): number {
  return preferenceScore(b, wish) - preferenceScore(a, wish) || a.resourceScore - b.resourceScore || (a.id < b.id ? -1 : 1);
}

function byRank(a: Waiter, b: Waiter): number {
  return a.rank.getTime() - b.rank.getTime() || (a.requestId < b.requestId ? -1 : 1);
}
