import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { requestId } from '../dev/demo/made-up-load.ts';
import type { ServiceCall } from '../dev/demo/service-call.ts';
import { messageOf } from '../shared/errors.ts';
import type { Errands } from './errands.ts';

/** Users of the batch, a device each, and when it is asked for and given back, ms after one another. */
export interface BatchPace {
  readonly users: number;
  readonly firstMs: number;
  readonly usedMs: number;
}

const answer = z.object({ data: z.object({ successes: z.array(z.object({ allocationId: z.string() })), failedCount: z.number() }) });

/** A service takes many devices by one call and gives all of them back by another. */
export async function takeBatch(call: ServiceCall, tally: Errands, seed: number, stopping: AbortSignal, pace: BatchPace): Promise<void> {
  try {
    await pause(pace.firstMs, undefined, { signal: stopping });
    const requests = Array.from({ length: pace.users }, (_, number) => ({ userId: `chaos-batch-${number}`, durationMinutes: 30 }));
    const taken = await ask(call, '/scheduler/allocations/batch', { requests }, requestId(seed, -1_001));
    const allocationIds = taken.successes.map(({ allocationId }) => allocationId);
    for (const id of allocationIds) tally.allocations.add(id);
    tally.batch.taken += allocationIds.length;
    if (allocationIds.length === 0) return;
    await pause(pace.usedMs, undefined, { signal: stopping });
    const given = await ask(call, '/scheduler/allocations/batch/release', { allocationIds }, requestId(seed, -1_002));
    tally.batch.released += given.successes.length;
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
