import { setMaxListeners } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { signToken } from '../cli/token.ts';
import { createRandom } from '../dev/cluster/random.ts';
import { createClientWay } from '../dev/demo/client-way.ts';
import { drive } from '../dev/demo/drive.ts';
import type { Finding } from '../dev/demo/finding.ts';
import { createHttpWay } from '../dev/demo/http-way.ts';
import { requestId } from '../dev/demo/made-up-load.ts';
import type { PlannedRequest, WayName } from '../dev/demo/planned-request.ts';
import { createServiceCall } from '../dev/demo/service-call.ts';
import { overWays, type Tally } from '../dev/demo/tally.ts';
import type { WayIn } from '../dev/demo/way-in.ts';
import { takeBatch } from './batches.ts';
import { bookAhead } from './bookings.ts';
import { untilSettled } from './check.ts';
import type { ChaosFault } from './fault.ts';
import { makeLoad } from './load.ts';
import { placeOrders } from './orders.ts';
import type { Stage } from './stage.ts';
import { openWatch, type Watch } from './watch.ts';
import { withdraw } from './withdrawals.ts';

/** How much is asked for, and in which time (ms). */
export interface RoundSize {
  readonly requests: number;
  readonly spanMs: number;
  /** Longest wait for everything to have left the house, ms. */
  readonly patienceMs: number;
}

/** What one round has shown. */
export interface RoundResult {
  readonly fault: string;
  /** When it struck, ms after the load began. */
  readonly struckAtMs: number;
  readonly seed: number;
  readonly grants: number;
  readonly refusals: number;
  /** Calls that had to be made again, or failed for good. */
  readonly errors: number;
  /** From the end of the fault until the next request had its answer, ms. */
  readonly recoveryMs: number;
  /** From the end of the load until everything agreed, ms. */
  readonly settledMs: number;
  readonly findings: readonly Finding[];
}

/** One fault under load, and the check of everything afterwards. */
export async function runRound(stage: Stage, fault: ChaosFault, seed: number, size: RoundSize): Promise<RoundResult> {
  const { tally } = stage;
  const random = createRandom(seed);
  const before = count(tally);
  const struckAtMs = Math.round(size.spanMs * (fault.early === true ? 0.05 : 0.2 + 0.4 * random.next()));
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const ways = openWays(stage, await headersOf(stage));
  const watch = openWatch(stage);
  const [struck] = await Promise.all([
    strike({ stage, fault, watch, seed, way: ways.http }, struckAtMs),
    drive({ load: makeLoad(size.requests, size.spanMs, seed), ways, tally, onSend: () => undefined, stopping: stopping.signal }),
    beside(stage, seed, size, stopping.signal),
  ]);
  await Promise.all(Object.values(ways).map((way) => way.close()));
  const loadedAt = performance.now();
  const settled = await untilSettled(stage, size.patienceMs);
  await watch.close();
  const after = count(tally);
  return {
    ...{ fault: fault.name, struckAtMs, seed, recoveryMs: struck.recoveryMs },
    findings: [...settled, ...watch.findings(), struck.finding],
    settledMs: performance.now() - loadedAt,
    grants: after.grants - before.grants,
    refusals: after.refusals - before.refusals,
    errors: after.errors - before.errors,
  };
}

function count(tally: Tally) {
  return { grants: tally.allocations.size, refusals: overWays(tally, 'refused'), errors: tally.retries + tally.faults.length };
}

interface Strike {
  readonly stage: Stage;
  readonly fault: ChaosFault;
  readonly watch: Watch;
  readonly seed: number;
  readonly way: WayIn;
}

/** So much longer than it was to last a fault is waited for that has met nothing yet, ms. */
const MEETS_WITHIN_MS = 45_000;
const LOOK_EVERY_MS = 100;

/**
 * Strikes, waits, puts right, and asks for a device as anybody would.
 *
 * @returns whether anything was struck, and how long the asking took to be answered, ms
 */
async function strike(
  { stage, fault, watch, seed, way }: Strike,
  atMs: number,
): Promise<{ readonly recoveryMs: number; readonly finding: Finding }> {
  await pause(atMs);
  if (fault.sparesTime !== true) watch.excuse();
  const before = (await fault.evidence?.(stage)) ?? 0;
  await fault.strike(stage, createRandom(seed + 1));
  await pause(fault.lastsMs);
  const finding = await didStrike(stage, fault, before);
  await fault.undo?.(stage);
  watch.calm();
  const overAt = performance.now();
  const plan = probe(seed);
  const first = await way.ask(plan);
  const told = first.kind === 'waiting' ? await way.await(plan, first.requestId) : first;
  const recoveryMs = performance.now() - overAt;
  if (told.kind === 'granted') {
    stage.tally.allocations.add(told.allocationId);
    await way.release(plan, told.allocationId, told.fence);
  }
  return { recoveryMs, finding };
}

/** Waits until the fault has met something: one that has not leaves the round without a meaning. */
export async function didStrike(stage: Stage, fault: ChaosFault, before: number, withinMs = MEETS_WITHIN_MS): Promise<Finding> {
  const name = 'the fault struck';
  if (fault.evidence === undefined) return { name, ok: true, seen: 'it was done' };
  const until = performance.now() + withinMs;
  for (;;) {
    const after = await fault.evidence(stage);
    if (after > before || performance.now() > until) return { name, ok: after > before, seen: `${after - before} times` };
    await pause(LOOK_EVERY_MS);
  }
}

function probe(seed: number): PlannedRequest {
  const who = { id: requestId(seed, -5_000), userId: `chaos-probe-${seed}`, tenantId: null, tier: 'enterprise' as const };
  return { ...who, atMs: 0, way: 'http', asked: {}, afterwards: { kind: 'release', afterMs: 0 }, renew: false, twice: false };
}

/** Bookings, a batch and orders, beside the requests. */
async function beside(stage: Stage, seed: number, { spanMs }: RoundSize, stopping: AbortSignal): Promise<void> {
  const { tally, errands, events } = stage;
  const call = createServiceCall(stage.api, await headersOf(stage), () => {
    tally.retries += 1;
  });
  await Promise.all([
    bookAhead(call, errands, seed, stopping, { count: 5, firstMs: spanMs / 3, apartMs: spanMs / 8, usedMs: 800 }),
    takeBatch(call, errands, seed, stopping, { users: 8, firstMs: spanMs / 4, usedMs: spanMs / 3 }),
    withdraw(call, errands, seed, stopping, { count: 12, spanMs }),
    placeOrders(events, tally, { count: 6, spanMs }, createRandom(seed + 2)),
  ]);
}

async function headersOf({ config }: Stage): Promise<Record<string, string>> {
  const secrets = { userSecret: config.JWT_SECRET, serviceSecret: config.SERVICE_TOKEN_SECRET };
  return { 'x-service-token': await signToken({ service: 'chaos', expiresIn: '7200' }, secrets) };
}

function openWays({ api, redis, config, tally }: Stage, headers: Readonly<Record<string, string>>): Readonly<Record<WayName, WayIn>> {
  const onRetry = () => {
    tally.retries += 1;
  };
  const client = createClientWay({ redisUrl: redis.url, clusterNodes: [], prefix: config.QUEUE_PREFIX, service: 'chaos', onRetry });
  const http = createHttpWay({ api, signIn: () => Promise.resolve(headers), statesTier: true, onRetry });
  return { http, client };
}
