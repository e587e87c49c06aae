import { PREFERENCE_WEIGHTS } from './rank-devices.ts';
import type { Preference } from './requirement.ts';

type Wish = keyof typeof PREFERENCE_WEIGHTS;

/** The wishes one step insists on. */
export type PreferenceStep = ReadonlySet<Wish>;

/**
 * Turns soft wishes into a sequence of hard filters, most wanted first: every subset of the expressed wishes, ordered by
 * the sum of its weights. Taking devices step by step, best `resource_score` first within a step, gives the order of
 * `rankDevices` without sorting the fleet: each step is a short walk of an index, and usually the first one suffices.
 * No wish: one step without filters.
 */
export function preferenceSteps(wish: Preference): PreferenceStep[] {
  const expressed: Wish[] = [];
  if (wish.avoidDeviceIds.length > 0) expressed.push('notAvoided');
  if (wish.lastDeviceId !== null) expressed.push('lastDevice');
  if (wish.region !== null) expressed.push('region');
  if (wish.providerType !== null) expressed.push('provider');
  if (wish.androidVersion !== null) expressed.push('android');
  return subsets(expressed).sort((a, b) => weight(b) - weight(a));
}

function subsets(wishes: readonly Wish[]): PreferenceStep[] {
  return Array.from({ length: 2 ** wishes.length }, (_, mask) => new Set(wishes.filter((_wish, bit) => (mask >> bit) & 1)));
}

function weight(step: PreferenceStep): number {
  let sum = 0;
  for (const wish of step) sum += PREFERENCE_WEIGHTS[wish];
  return sum;
}
