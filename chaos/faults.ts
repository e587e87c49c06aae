import type { Random } from '../dev/cluster/random.ts';
import type { ChaosFault } from './fault.ts';
import { INPUT_FAULTS } from './faults/input-faults.ts';
import { NEIGHBOUR_FAULTS } from './faults/neighbour-faults.ts';
import { POINT_FAULTS, PROCESS_FAULTS } from './faults/process-faults.ts';
import { SERVER_FAULTS } from './faults/server-faults.ts';

/** Everything that may be made to go wrong. */
export const FAULTS: readonly ChaosFault[] = [...PROCESS_FAULTS, ...SERVER_FAULTS, ...NEIGHBOUR_FAULTS, ...INPUT_FAULTS, ...POINT_FAULTS];

/**
 * The faults of some names; a name stands for every fault that begins with it (`redis`, `at-grant`).
 *
 * @throws Error that lists the names when one fits nothing
 */
export function faultsNamed(names: readonly string[]): readonly ChaosFault[] {
  return names.flatMap((name) => {
    const exact = FAULTS.filter((fault) => fault.name === name);
    const found = exact.length > 0 ? exact : FAULTS.filter((fault) => fault.name.startsWith(name));
    if (found.length === 0) throw new Error(`there is no fault ${name}; there are ${FAULTS.map((fault) => fault.name).join(', ')}`);
    return found;
  });
}

/** One round of everything: all faults in the order of the list, of the numbered steps one drawn from each verb. */
export function oneOfEach(random: Random): readonly ChaosFault[] {
  const verbs = Map.groupBy(POINT_FAULTS, ({ name }) => name.split('.')[0]);
  const drawn = new Set([...verbs.values()].map((faults) => faults[random.below(faults.length)]));
  return FAULTS.filter((fault) => !POINT_FAULTS.includes(fault) || drawn.has(fault));
}
