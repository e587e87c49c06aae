import { setTimeout as pause } from 'node:timers/promises';
import { messageOf } from '../../shared/errors.ts';
import type { PlannedRequest, WayName } from './planned-request.ts';
import { createSlots, type Slots } from './slots.ts';
import { type Tally, tenantOf } from './tally.ts';
import type { Told, WayIn } from './way-in.ts';

type Granted = Extract<Told, { kind: 'granted' }>;

export interface DriveOptions {
  readonly load: Iterable<PlannedRequest> | AsyncIterable<PlannedRequest>;
  readonly ways: Readonly<Record<WayName, WayIn>>;
  readonly tally: Tally;
  /** Called before each request, with how many were sent before it. */
  readonly onSend: (sent: number) => void;
  readonly stopping: AbortSignal;
}

/**
 * Calls unanswered at once, on each way in, as any well-made caller's connection pool has: on a slow machine the load then
 * takes longer, and the driver says how far it is behind its plan, instead of drowning what it wants to show.
 */
const MOST_CALLS = 64;

/** A way in, and the slots its calls go through. */
interface Lane extends Slots {
  readonly way: WayIn;
}

/**
 * Sends every request at its time, whatever became of the ones before (an open loop, as callers are, but for `MOST_CALLS`),
 * and sees each one through to its end: decision, wait, hold, release. Resolves when all have ended.
 */
export async function drive({ load, ways, tally, onSend, stopping }: DriveOptions): Promise<void> {
  const laneOf = (way: WayIn): Lane => ({ way, ...createSlots(MOST_CALLS) });
  const lanes = { http: laneOf(ways.http), client: laneOf(ways.client) };
  const underWay = new Set<Promise<void>>();
  const startedAt = performance.now();
  for await (const plan of load) {
    const early = plan.atMs - (performance.now() - startedAt);
    if (early > 1) await pause(early, undefined, { signal: stopping });
    const onSent = () => {
      tally.lateMost = Math.max(tally.lateMost, performance.now() - startedAt - plan.atMs);
      onSend(tally.sent);
    };
    const whole = seeThrough(plan, lanes[plan.way], tally, stopping, onSent)
      .catch((error: unknown) => void tally.faults.push(messageOf(error)))
      .finally(() => {
        tally.ended += 1;
        underWay.delete(whole);
      });
    underWay.add(whole);
  }
  await Promise.all(underWay);
}

async function seeThrough(plan: PlannedRequest, lane: Lane, tally: Tally, stopping: AbortSignal, onSent: () => void): Promise<void> {
  const granted = await obtain(plan, lane, tally, onSent);
  if (granted === undefined) return;
  tally.allocations.add(granted.allocationId);
  tally.heldNow += 1;
  tally.heldMost = Math.max(tally.heldMost, tally.heldNow);
  if (plan.afterwards.kind === 'hold') {
    tally.heldOn += 1;
    return;
  }
  if (plan.afterwards.kind === 'expire') {
    tally.leftToExpire += 1;
    tally.heldNow -= 1;
    return;
  }
  const { afterMs } = plan.afterwards;
  if (plan.renew) {
    await pause(afterMs / 2, undefined, { signal: stopping });
    await lane.use(() => extend(plan, lane, granted, tally));
  }
  await pause(plan.renew ? afterMs / 2 : afterMs, undefined, { signal: stopping });
  await lane.use(async () => {
    // Before the call: a device may be given to the next one before we hear that it is free.
    tally.heldNow -= 1;
    const askedAt = performance.now();
    await lane.way.release(plan, granted.allocationId, granted.fence);
    tally.releaseMs.push(performance.now() - askedAt);
  });
  tally.released += 1;
}

async function extend(plan: PlannedRequest, { way }: Lane, { allocationId, fence }: Granted, tally: Tally): Promise<void> {
  const refusedFor = await way.extend(plan, allocationId, fence);
  if (refusedFor === undefined) tally.extended += 1;
  else tally.extendRefusals.set(refusedFor, (tally.extendRefusals.get(refusedFor) ?? 0) + 1);
}

/** Asks, waits if it has to be, and counts how it went. */
async function obtain(plan: PlannedRequest, lane: Lane, tally: Tally, onSent: () => void): Promise<Granted | undefined> {
  const [counted, tenant] = [tally.ways[plan.way], tenantOf(tally, plan)];
  const { way } = lane;
  const { first, sentAt } = await lane.use(async () => {
    onSent();
    tally.sent += 1;
    counted.sent += 1;
    tenant.requests += 1;
    const at = performance.now();
    return { sentAt: at, first: plan.twice ? await askTwice(plan, way, tally) : await way.ask(plan) };
  });
  const decisionMs = performance.now() - sentAt;
  counted.decisionMs.push(decisionMs);
  tenant.decisionMs.push(decisionMs);
  const last = first.kind === 'waiting' ? await waitFor(plan, way, tally, first.requestId, sentAt) : first;
  if (last.kind === 'granted') {
    counted.granted += 1;
    tenant.grants += 1;
    return last;
  }
  counted.refused += 1;
  const code = last.kind === 'refused' ? last.code : 'undecided';
  tally.refusals.set(code, (tally.refusals.get(code) ?? 0) + 1);
  return undefined;
}

/** The same call twice at once: both must be told the same. */
async function askTwice(plan: PlannedRequest, way: WayIn, tally: Tally): Promise<Told> {
  tally.sentTwice += 1;
  const [first, second] = await Promise.all([way.ask(plan), way.ask(plan)]);
  if (JSON.stringify(first) !== JSON.stringify(second)) tally.differed += 1;
  return first;
}

async function waitFor(plan: PlannedRequest, way: WayIn, tally: Tally, requestId: string, sentAt: number): Promise<Told> {
  tally.waited += 1;
  tally.waitingNow += 1;
  try {
    const told = await way.await(plan, requestId);
    if (told.kind === 'granted') tally.waitMs.push(performance.now() - sentAt);
    return told;
  } finally {
    tally.waitingNow -= 1;
  }
}
