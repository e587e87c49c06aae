import type { ExistingRequest, GatheredRequest, UserFacts } from '../allocation/facts.ts';
import { type Decision, type GroupFacts, type Matched, planGroup } from '../allocation/plan-group.ts';
import { localWishes } from '../placement/local-wishes.ts';
import { NO_CAPS, preferenceOf, requirementOf } from '../placement/requirement.ts';
import type { Strategy, StrategyType } from '../placement/strategy.ts';
import { headStartOf } from '../waitlist/rank.ts';
import { createEnds, type Ends } from './ends.ts';
import type { SimulatedDevice, SimulatedRequest } from './recorded.ts';
import { type Score, Tally } from './tally.ts';
import { World } from './world.ts';

/** What became of the requests by one strategy. */
export interface SimulatedResult extends Score {
  readonly type: StrategyType;
  readonly config: Strategy['config'];
}

/** A request on its way through a simulation. */
interface Traveller extends SimulatedRequest {
  readonly id: string;
  readonly deadlineMs: number;
}

/** Every neighbour is there, and nobody has limits: the recording does not say them. */
const POLICY = { quotaAllowOnError: false, fallbackMaxDevices: 0, billingAllowOnError: true };
const UNLIMITED = { status: 'active', limits: {}, usage: null, validFrom: null, validUntil: null } as const;
const MINUTE_MS = 60_000;

/**
 * Replays recorded requests against a fleet that is free at the beginning, by the decisions of live requests: `planGroup` and
 * the placement rules. Requests of the same instant are one group; a device is given back after it was used for as long as
 * recorded; whoever waits is tried, by rank, whenever one is.
 *
 * @param onGrant  told of each grant, by the place of the request in the recording
 */
export function simulate(
  fleet: readonly SimulatedDevice[],
  recorded: readonly SimulatedRequest[],
  strategy: Strategy,
  onGrant: (index: number, deviceId: string) => void = () => undefined,
): SimulatedResult {
  const world = new World(fleet, strategy);
  const tally = new Tally(fleet.length);
  const ends = createEnds();
  const arrivals = arrivalsOf(recorded);
  let waiting: Traveller[] = [];
  let next = 0;
  const decide = (group: readonly Traveller[], nowMs: number, matched: Matched = new Map()) => {
    const decisions = decideGroup(world, group, { waiting, matched }, strategy, nowMs);
    const still = new Set<string>();
    for (const traveller of group) {
      const decision = decisions.get(traveller.id);
      if (decision?.kind === 'waiting') still.add(traveller.id);
      else if (decision?.kind === 'granted') {
        const device = world.hold(traveller.userId, decision.device.id);
        ends.push({ atMs: nowMs + traveller.holdMs, userId: traveller.userId, deviceId: device.id });
        tally.granted(traveller.atMs, nowMs, traveller.holdMs, device.costPerHour);
        onGrant(Number(traveller.id), device.id);
      } else tally.refused(decision === undefined || decision.kind !== 'refused' ? 'REQUEST_TIMED_OUT' : decision.refusal.code);
    }
    waiting = [...waiting.filter(({ id }) => !group.some((other) => other.id === id)), ...group.filter(({ id }) => still.has(id))];
  };

  while (next < arrivals.length || ends.size() > 0) {
    const nowMs = Math.min(arrivals[next]?.atMs ?? Infinity, ends.earliest());
    if (giveBack(world, ends, nowMs)) {
      const inTime = waiting.filter(({ deadlineMs }) => deadlineMs > nowMs);
      for (let over = waiting.length - inTime.length; over > 0; over -= 1) tally.refused('REQUEST_TIMED_OUT');
      waiting = inTime;
      for (const traveller of byRank(waiting)) {
        const deviceId = matchFor(world, traveller, strategy);
        if (deviceId !== undefined) decide([traveller], nowMs, new Map([[traveller.id, deviceId]]));
      }
    }
    const group: Traveller[] = [];
    for (let one = arrivals[next]; one !== undefined && one.atMs === nowMs; one = arrivals[next]) {
      group.push(one);
      next += 1;
    }
    if (group.length > 0) decide(group, nowMs);
  }
  for (const _ of waiting) tally.refused('REQUEST_TIMED_OUT');
  return { type: strategy.type, config: strategy.config, ...tally.score() };
}

function arrivalsOf(recorded: readonly SimulatedRequest[]): Traveller[] {
  return recorded
    .map((request, index) => ({ ...request, id: String(index), deadlineMs: request.atMs + request.asked.maxWaitMinutes * MINUTE_MS }))
    .sort((a, b) => a.atMs - b.atMs);
}

function giveBack(world: World, ends: Ends, nowMs: number): boolean {
  let any = false;
  while (ends.earliest() <= nowMs) {
    const { userId, deviceId } = ends.pop();
    world.free(userId, deviceId);
    any = true;
  }
  return any;
}

/** The tier's head start, then who came first: the order of the waitlist where no tenant floods it. */
function byRank(waiting: readonly Traveller[]): Traveller[] {
  return waiting.toSorted((a, b) => a.atMs - headStartOf(a.tier) - (b.atMs - headStartOf(b.tier)));
}

/** The device somebody who waits is matched to, if one is free that they can use. */
function matchFor(world: World, { userId, asked, tenantId }: Traveller, strategy: Strategy): string | undefined {
  const requirement = requirementOf(asked, tenantId, NO_CAPS);
  if (!world.hasFree(requirement)) return undefined;
  const { lastDeviceId } = world.holdings(userId);
  const last = { id: lastDeviceId, region: world.regionOf(lastDeviceId) };
  const preference = localWishes(preferenceOf(asked, lastDeviceId), strategy, last);
  return world.pick({ requirement, preference, rank: null, members: [] }, 1, new Set())[0]?.id;
}

/** The loop of `grantGroup`, over the world in memory. */
function decideGroup(
  world: World,
  group: readonly Traveller[],
  { waiting, matched }: { readonly waiting: readonly Traveller[]; readonly matched: Matched },
  strategy: Strategy,
  nowMs: number,
): ReadonlyMap<string, Decision> {
  const plan = planGroup(group.map(toGathered), factsOf(world, group, waiting, nowMs), POLICY, matched, strategy);
  const given = new Set<string>();
  while (plan.undecided() > 0) {
    for (const wanted of plan.sort()) {
      const devices = world.pick(wanted, wanted.members.length, given);
      const { unmet, spare } = plan.place(wanted.members, devices);
      for (const device of devices) if (!spare.includes(device)) given.add(device.id);
      if (unmet.length > 0) plan.settle(unmet, world.shortage(wanted));
    }
  }
  return plan.decisions();
}

function factsOf(world: World, group: readonly Traveller[], waiting: readonly Traveller[], nowMs: number): GroupFacts {
  const tenants = new Set(group.flatMap(({ tenantId }) => tenantId ?? []));
  const waits = new Set(waiting.map(({ id }) => id));
  const existing = (traveller: Traveller): [string, ExistingRequest][] =>
    waits.has(traveller.id)
      ? [[traveller.id, { status: 'waiting', code: null, details: null, deadline: new Date(traveller.deadlineMs) }]]
      : [];
  return {
    now: new Date(nowMs),
    existing: new Map(group.flatMap(existing)),
    users: new Map(group.map(({ userId }) => [userId, userFacts(world, userId)])),
    tenantsWithDevices: new Set([...tenants].filter((tenantId) => world.ownsDevices(tenantId))),
    reservationsAhead: false,
    // Nobody who waits could use what is free: they are tried first whenever a device is given back.
    somebodyWaits: false,
  };
}

function userFacts(world: World, userId: string): UserFacts {
  const { lastDeviceId } = world.holdings(userId);
  const lastRegion = world.regionOf(lastDeviceId);
  return { state: 'active', inArrears: false, lastKnownLimits: null, use: world.useOf(userId), lastDeviceId, lastRegion };
}

function toGathered({ id, userId, tenantId, tier, asked }: Traveller): GatheredRequest {
  return {
    request: { requestId: id, caller: 'simulation', source: 'client', userId, tenantId, tier, asked, traceId: undefined },
    quota: { kind: 'known', stale: false, quota: UNLIMITED },
    balance: { kind: 'allowed', status: 'active', balance: 0 },
  };
}
