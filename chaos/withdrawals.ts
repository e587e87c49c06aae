import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { requestId } from '../dev/demo/made-up-load.ts';
import type { ServiceCall } from '../dev/demo/service-call.ts';
import { messageOf } from '../shared/errors.ts';
import type { Errands } from './errands.ts';

/** How many ask and think better of it at once, and over which time, ms. */
export interface WithdrawalPace {
  readonly count: number;
  readonly spanMs: number;
}

const LOOK_EVERY_MS = 250;
const PATIENCE_MS = 150_000;

const state = z.object({
  data: z.object({
    status: z.string(),
    requestId: z.string(),
    allocationId: z.string().nullish(),
    fence: z.number().nullish(),
  }),
});
type State = z.output<typeof state>['data'];

/**
 * Requests that are withdrawn in the moment they are made: whichever comes first, withdrawal or grant, the other has no effect.
 * Those that were granted are given back, first with a fence that is too low, which nobody may heed.
 */
export async function withdraw(
  call: ServiceCall,
  tally: Errands,
  seed: number,
  stopping: AbortSignal,
  pace: WithdrawalPace,
): Promise<void> {
  const one = async (number: number) => {
    try {
      await pause((number / pace.count) * pace.spanMs, undefined, { signal: stopping });
      await changeMind(call, tally, requestId(seed, -3_000 - number), stopping);
    } catch (error) {
      tally.faults.push(`withdrawal ${number}: ${messageOf(error)}`);
    }
  };
  await Promise.all(Array.from({ length: pace.count }, (_, number) => one(number)));
}

async function changeMind(call: ServiceCall, tally: Errands, id: string, stopping: AbortSignal): Promise<void> {
  const body = { userId: `chaos-fickle-${id}`, durationMinutes: 30, queueIfBusy: true, maxWaitMinutes: 10, waitMs: 0 };
  const asked = await call('POST', '/scheduler/devices/allocate', body, id);
  const text = await asked.text();
  if (!asked.ok) return;
  const request = state.parse(JSON.parse(text)).data;
  const withdrawn = await call('DELETE', `/scheduler/requests/${request.requestId}`);
  await withdrawn.text();
  if (withdrawn.ok) {
    tally.withdrawn.add(request.requestId);
    return;
  }
  const { allocationId, fence } = await decided(call, request.requestId, stopping);
  if (allocationId == null) return;
  tally.allocations.add(allocationId);
  await giveBack(call, tally, allocationId, fence ?? 1, id);
}

async function giveBack(call: ServiceCall, tally: Errands, allocationId: string, fence: number, id: string): Promise<void> {
  const release = async (key: string, said: number | undefined) => {
    const body = { allocationId, ...(said === undefined ? {} : { fence: said }) };
    const response = await call('POST', '/scheduler/devices/release', body, `${id}:${key}`);
    return { ok: response.ok, text: await response.text() };
  };
  if (fence > 1) {
    tally.lowFences.sent += 1;
    if ((await release('low', fence - 1)).ok) tally.lowFences.heeded += 1;
  }
  const released = await release('release', undefined);
  if (!released.ok) throw new Error(`the release was answered ${released.text}`);
}

async function decided(call: ServiceCall, id: string, stopping: AbortSignal): Promise<State> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const now = state.parse(await (await call('GET', `/scheduler/requests/${id}`)).json()).data;
    if (now.status !== 'pending' && now.status !== 'waiting') return now;
    if (performance.now() > until) throw new Error(`it is still ${now.status}`);
    await pause(LOOK_EVERY_MS, undefined, { signal: stopping });
  }
}
