import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { type AllocationProcess, spawnAllocation } from '../support/allocation-process.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { type Wired, wire } from '../support/wire.ts';

const PROCESSES = 4;
let wired: Wired;
let workers: AllocationProcess[] = [];

beforeAll(async () => {
  wired = await wire({ allocationWorkers: 0 });
  workers = Array.from({ length: PROCESSES }, () => spawnAllocation(wired));
  await Promise.all(workers.map(({ up }) => up));
});
afterAll(async () => {
  expect(await Promise.all(workers.map((worker) => worker.end()))).toEqual(workers.map(() => 0));
  await wired.close();
});
beforeEach(async () => {
  await wired.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox CASCADE`);
});

const codeOf = (outcome: AllocateOutcome) => ('code' in outcome ? outcome.code : outcome.status);
const tally = (outcomes: readonly AllocateOutcome[]) =>
  Object.fromEntries([...Map.groupBy(outcomes, codeOf)].map(([code, group]) => [code, group.length]));
const devicesOf = (outcomes: readonly AllocateOutcome[]) =>
  outcomes.flatMap((outcome) => (outcome.status === 'granted' ? [outcome.allocation.deviceId] : []));

describe('four worker processes', () => {
  it('give one device to one of two hundred who ask at once', async () => {
    await addDevices(wired.store, alike(1));
    await wired.know(Array.from({ length: 190 }, (_, index) => `user-${index}`));
    const outcomes = await Promise.all(Array.from({ length: 200 }, (_, index) => wired.allocate(`user-${index % 190}`)));
    expect(tally(outcomes)).toEqual({ granted: 1, NO_DEVICE_AVAILABLE: 199 });
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  it('give each device once while three times as many ask as there are, the same account among them', async () => {
    await addDevices(wired.store, alike(60));
    await wired.know(['the-same', ...Array.from({ length: 180 }, (_, index) => `user-${index}`)]);
    const outcomes = await Promise.all(
      Array.from({ length: 180 }, (_, index) => wired.allocate(index % 3 === 0 ? 'the-same' : `user-${index}`)),
    );
    expect(tally(outcomes)).toEqual({ granted: 60, NO_DEVICE_AVAILABLE: 120 });
    expect(new Set(devicesOf(outcomes)).size).toBe(60);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  it('give a user with one free place one device of fifty asked for at once', async () => {
    await addDevices(wired.store, alike(50));
    wired.users.control.setQuota('single', { limits: { maxDevices: 1 } });
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => wired.allocate('single')));
    expect(tally(outcomes)).toEqual({ granted: 1, QUOTA_EXCEEDED: 49 });
  });

  it('still decide when one of them is killed, each request once', async () => {
    await addDevices(wired.store, alike(40));
    await wired.know(Array.from({ length: 60 }, (_, index) => `late-${index}`));
    const asked = Array.from({ length: 60 }, (_, index) => wired.allocate(`late-${index}`));
    const [victim, ...others] = workers;
    victim?.child.kill('SIGKILL');
    workers = others;
    const outcomes = await Promise.all(asked);
    expect(tally(outcomes)).toEqual({ granted: 40, NO_DEVICE_AVAILABLE: 20 });
    expect(new Set(devicesOf(outcomes)).size).toBe(40);
    expect(await readInvariants(wired.store)).toEqual([]);
  });
});
