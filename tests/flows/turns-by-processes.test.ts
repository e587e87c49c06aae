import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { activateType } from '../../shared/store/strategies.ts';
import { type AllocationProcess, spawnAllocation } from '../support/allocation-process.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { type Wired, wire } from '../support/wire.ts';

const PROCESSES = 4;
const DEVICES = 12;
/** Asked for at once: more than one process takes on, fewer than there are devices. */
const AT_ONCE = 8;
const ROUNDS = 15;

let wired: Wired;
let workers: AllocationProcess[] = [];

beforeAll(async () => {
  wired = await wire({ allocationWorkers: 0, waitlistWorkers: 0 });
  await activateType(wired.store, 'round_robin');
  // One job at a time each, so that a round is shared out over all of them.
  workers = Array.from({ length: PROCESSES }, () => spawnAllocation(wired, { WORKER_CONCURRENCY: '1' }));
  await Promise.all(workers.map(({ up }) => up));
});
afterAll(async () => {
  expect(await Promise.all(workers.map((worker) => worker.end()))).toEqual(workers.map(() => 0));
  await wired.close();
});

/** So many users ask at once, and give back what they got. @returns the devices they had */
async function round(): Promise<string[]> {
  const outcomes = await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => wired.allocate(`user-${index}`)));
  const leases = outcomes.flatMap((outcome) => (outcome.status === 'granted' ? [outcome.allocation] : []));
  await Promise.all(leases.map(({ allocationId }) => wired.release({ allocationId })));
  return leases.map(({ deviceId }) => deviceId);
}

describe('round_robin over four worker processes', () => {
  it('gives every device its turn: none is used more than a lap ahead of another, at any time', async () => {
    const ids = await addDevices(wired.store, alike(DEVICES));
    const uses = new Map(ids.map((id) => [id, 0]));
    for (let rounds = 0; rounds < ROUNDS; rounds += 1) {
      const given = await round();
      expect(given).toHaveLength(AT_ONCE);
      for (const id of given) uses.set(id, (uses.get(id) ?? 0) + 1);
      const counts = [...uses.values()];
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
    expect([...uses.values()]).toEqual(ids.map(() => (AT_ONCE * ROUNDS) / DEVICES));
    expect(await readInvariants(wired.store)).toEqual([]);
  });
});
