import { resourceScore } from '../../shared/placement/resource-score.ts';
import type { SimulatedDevice } from '../../shared/simulation/recorded.ts';
import type { FleetDevice } from '../cluster/fleet.ts';

/** A device of the made-up fleet as placement sees it. */
export function placeable(device: FleetDevice): SimulatedDevice {
  return { ...device, tenantId: null, resourceScore: resourceScore(device), turn: 0 };
}
