import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf } from '../../shared/errors.ts';
import { requestId } from './made-up-load.ts';
import type { ServiceCall } from './service-call.ts';
import type { Tally } from './tally.ts';

/** Users of the batch, a device each: as many as one batch may ask for. */
const USERS = 50;
const FIRST_MS = 3_000;
const USED_MS = 6_000;

const answer = z.object({ data: z.object({ successes: z.array(z.object({ allocationId: z.string() })), failedCount: z.number() }) });

/** A service takes fifty devices by one call and gives all of them back by another. */
export async function takeBatch(call: ServiceCall, tally: Tally, seed: number, stopping: AbortSignal): Promise<void> {
  try {
    await pause(FIRST_MS, undefined, { signal: stopping });
    const requests = Array.from({ length: USERS }, (_, number) => ({ userId: `demo-batch-${number}`, durationMinutes: 30 }));
    const taken = await ask(call, '/scheduler/allocations/batch', { requests }, requestId(seed, -1_001));
    const allocationIds = taken.successes.map(({ allocationId }) => allocationId);
    for (const id of allocationIds) tally.allocations.add(id);
    tally.batch.taken = allocationIds.length;
    await pause(USED_MS, undefined, { signal: stopping });
    const given = await ask(call, '/scheduler/allocations/batch/release', { allocationIds }, requestId(seed, -1_002));
    tally.batch.released = given.successes.length;
  } catch (error) {
    tally.faults.push(`batch: ${messageOf(error)}`);
  }
}

async function ask(call: ServiceCall, path: string, body: object, key: string) {
  const response = await call('POST', path, body, key);
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} was answered ${response.status} ${text}`);
  return answer.parse(JSON.parse(text)).data;
}
