import { localWishes } from '../placement/local-wishes.ts';
import { type Caps, NO_CAPS, type Preference, preferenceOf, type Requirement, requirementOf } from '../placement/requirement.ts';
import { RESOURCE_BASED, type Strategy } from '../placement/strategy.ts';
import { type Limits, largestFitting, limitHit, NO_USE, type Size, type Use, useWith } from '../quota/limits.ts';
import { type Parked, parkedBy } from '../waitlist/parked.ts';
import { headStartOf } from '../waitlist/rank.ts';
import { decideEligibility, leastSize, type Refusal } from './decide-eligibility.ts';
import { decideShortage, type Shortage } from './decide-shortage.ts';
import type { ExistingRequest, GatheredRequest, OutagePolicy, UserFacts } from './facts.ts';
import { dearestCovered, termCost, uncovered } from './full-term.ts';

/** A free device, locked by this transaction. */
export interface LockedDevice extends Size {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly fence: number;
  readonly resourceScore: number;
  readonly costPerHour?: number | null;
}

/** What becomes of one request of the group. */
export type Decision =
  /** `until`: the lease ends then, whatever duration was asked for. */
  | {
      readonly kind: 'granted';
      readonly device: LockedDevice;
      readonly quotaUnchecked: boolean;
      readonly balanceUnchecked: boolean;
      readonly until?: Date;
    }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** `caps`: the largest device its user's limits leave room for. `parked`: why it is passed over for now. */
  | { readonly kind: 'waiting'; readonly reason: string; readonly caps: Caps; readonly parked: Parked | null }
  | { readonly kind: 'timed-out' }
  /** Another worker is deciding on the only devices left: ask again. */
  | { readonly kind: 'contended' }
  /** Decided before: the stored outcome stands. */
  | { readonly kind: 'settled' };

/** Everything read under the users' locks. */
export interface GroupFacts {
  readonly now: Date;
  readonly existing: ReadonlyMap<string, ExistingRequest>;
  readonly users: ReadonlyMap<string, UserFacts>;
  readonly tenantsWithDevices: ReadonlySet<string>;
  /** Whether any reservation is ahead; if not, durations do not matter for placement. */
  readonly reservationsAhead: boolean;
  /** Whether anybody waits; if not, nobody can be passed. */
  readonly somebodyWaits: boolean;
}

/** The waiting requests of a group and the device that was matched to each: they are decided for that device and no other. */
export type Matched = ReadonlyMap<string, string>;

const NOT_MATCHED: Matched = new Map();

/** Requests of one group that want the same: they share one walk of the index. */
export interface PlacementClass {
  readonly requirement: Requirement;
  readonly preference: Preference;
  /** Whoever waits with an earlier rank goes first; `null`: nobody does. */
  readonly rank: Date | null;
  readonly members: readonly Open[];
}

interface Open {
  readonly gathered: GatheredRequest;
  readonly limits: Limits;
  readonly quotaUnchecked: boolean;
  readonly balanceUnchecked: boolean;
}

export interface GroupPlan {
  /** Requests not decided yet. Loop while there are any: sort, place each class, settle what found nothing. */
  undecided(): number;
  /** Decides what can be decided without a device; returns the rest as classes, in the order they were asked. */
  sort(): PlacementClass[];
  /** Hands the devices of a class to its members in order. Returns members left without, and devices left over. */
  place(members: readonly Open[], devices: readonly LockedDevice[]): { unmet: readonly Open[]; spare: readonly LockedDevice[] };
  /** Decides the members of a class for which no device was found. */
  settle(members: readonly Open[], shortage: Shortage, outranked?: boolean): void;
  /** The decision of every request, by request id. */
  decisions(): ReadonlyMap<string, Decision>;
}

const NOBODY: UserFacts = { state: 'active', inArrears: false, lastKnownLimits: null, use: NO_USE, lastDeviceId: null };

/**
 * Decides a group of requests in the order given, as if they had come one after the other.
 *
 * Pure: it knows only the facts it is given. A request that fits its user's limits only if an earlier one of the same
 * group fails is held back to the next round, so nobody is refused for a place that stays free.
 *
 * @param strategy  in force; it may add wishes of its own
 */
export function planGroup(
  group: readonly GatheredRequest[],
  facts: GroupFacts,
  policy: OutagePolicy,
  matched: Matched = NOT_MATCHED,
  strategy: Strategy = RESOURCE_BASED,
): GroupPlan {
  const decisions = new Map<string, Decision>();
  const granted = new Map<string, Use>();
  const committed = new Map<string, number>();
  let open: readonly GatheredRequest[] = group;

  const userOf = (gathered: GatheredRequest) => facts.users.get(gathered.request.userId) ?? NOBODY;
  const useOf = (gathered: GatheredRequest) => granted.get(gathered.request.userId) ?? userOf(gathered).use;
  const committedOf = (gathered: GatheredRequest) => committed.get(gathered.request.userId) ?? userOf(gathered).committed ?? 0;
  const maxCostOf = (gathered: GatheredRequest) =>
    policy.reserveFullTerm === true
      ? dearestCovered(gathered.balance, committedOf(gathered), gathered.request.asked.durationMinutes)
      : Infinity;
  const decide = (gathered: GatheredRequest, decision: Decision) => {
    decisions.set(gathered.request.requestId, decision);
  };

  function sort(): PlacementClass[] {
    const tentative = new Map(granted);
    const eligible: Open[] = [];
    open = open.filter((gathered) => !decisions.has(gathered.request.requestId));
    for (const gathered of open) {
      const { requestId, userId } = gathered.request;
      const existing = facts.existing.get(requestId);
      // Whoever waits is served in turn, by the match: a job that asks again changes nothing.
      if (existing?.status === 'waiting' && !matched.has(requestId)) {
        decide(gathered, { kind: 'settled' });
        continue;
      }
      const answer = decideEligibility(gathered, existing, userOf(gathered), useOf(gathered), policy, facts.now);
      if (answer.kind !== 'eligible') {
        decide(gathered, answer.kind === 'refused' && matched.has(requestId) ? passedOver(answer.refusal) : answer);
        continue;
      }
      const use = tentative.get(userId) ?? userOf(gathered).use;
      if (limitHit(answer.limits, use, leastSize(gathered.request)) !== undefined) continue;
      tentative.set(userId, useWith(use, leastSize(gathered.request)));
      eligible.push({ gathered, ...answer });
    }
    return classesOf(eligible);
  }

  function classesOf(eligible: readonly Open[]): PlacementClass[] {
    const classes = new Map<string, { requirement: Requirement; preference: Preference; rank: Date | null; members: Open[] }>();
    for (const member of eligible) {
      const wanted = wantedBy(member);
      // `Infinity`, no cap, becomes null, which no other number does.
      const key = JSON.stringify(wanted);
      const same = classes.get(key);
      if (same === undefined) classes.set(key, { ...wanted, members: [member] });
      else same.members.push(member);
    }
    return [...classes.values()];
  }

  function wantedBy({ gathered, limits }: Open) {
    const { asked, tenantId } = gathered.request;
    const { lastDeviceId, lastRegion = null } = userOf(gathered);
    const owner = tenantId !== null && facts.tenantsWithDevices.has(tenantId) ? tenantId : null;
    const deviceId = matched.get(gathered.request.requestId);
    const asking = requirementOf(asked, owner, largestFitting(limits, useOf(gathered)), maxCostOf(gathered));
    const requirement = deviceId === undefined ? asking : { ...asking, deviceId };
    return {
      requirement: facts.reservationsAhead ? requirement : { ...requirement, durationMinutes: 0 },
      preference: localWishes(preferenceOf(asked, lastDeviceId), strategy, { id: lastDeviceId, region: lastRegion }),
      rank: facts.somebodyWaits && deviceId === undefined ? new Date(facts.now.getTime() - headStartOf(gathered.request.tier)) : null,
    };
  }

  function place(members: readonly Open[], devices: readonly LockedDevice[]) {
    const spare = [...devices];
    const unmet: Open[] = [];
    for (const member of members) {
      const device = spare[0];
      if (device === undefined) {
        unmet.push(member);
        continue;
      }
      // A second request of the same user may no longer fit after the first: it is looked at anew in the next round.
      if (limitHit(member.limits, useOf(member.gathered), device) !== undefined) continue;
      if ((device.costPerHour ?? 0) > maxCostOf(member.gathered)) continue;
      spare.shift();
      const { userId, asked } = member.gathered.request;
      granted.set(userId, useWith(useOf(member.gathered), device));
      committed.set(userId, committedOf(member.gathered) + termCost(device.costPerHour, asked.durationMinutes));
      decide(member.gathered, {
        kind: 'granted',
        device,
        quotaUnchecked: member.quotaUnchecked,
        balanceUnchecked: member.balanceUnchecked,
      });
    }
    return { unmet, spare };
  }

  /**
   * Of devices that another worker is deciding on, each may be left to one of us: so many users ask again, in the order
   * asked, and for whoever comes after them none is left. Counted are users, since a second request of the same one may
   * be held up by the limit and then takes none.
   */
  function settle(members: readonly Open[], shortage: Shortage, outranked = false): void {
    const claiming = new Set<string>();
    for (const member of members) {
      const left = Math.max(0, shortage.freeWithinCaps - claiming.size);
      if (left > 0) claiming.add(member.gathered.request.userId);
      const seen = { ...shortage, freeWithinCaps: left };
      decide(member.gathered, settled(member, seen, outranked));
    }
  }

  function settled({ gathered, limits }: Open, shortage: Shortage, outranked: boolean): Decision {
    const { requestId, asked } = gathered.request;
    const caps = largestFitting(limits, useOf(gathered));
    const tooDear = tooDearFor(gathered, shortage);
    if (tooDear !== undefined) return matched.has(requestId) ? passedOver(tooDear) : { kind: 'refused', refusal: tooDear };
    // The device that was matched is gone, or larger than what the limits leave: the next match goes by what was learned here.
    if (matched.has(requestId)) return { kind: 'waiting', reason: 'POOL_BUSY', caps, parked: null };
    const decision = decideShortage(shortage, limits, useOf(gathered), asked.queueIfBusy, outranked);
    return decision.kind === 'waiting' ? { ...decision, caps, parked: null } : decision;
  }

  /** Devices there are, within the quota, but none that the balance covers. */
  function tooDearFor(gathered: GatheredRequest, { existsWithinCaps, cheapest }: Shortage): Refusal | undefined {
    const { balance, request } = gathered;
    if (existsWithinCaps || cheapest == null || balance.kind === 'unavailable' || cheapest <= maxCostOf(gathered)) return undefined;
    return uncovered(committedOf(gathered) + termCost(cheapest, request.asked.durationMinutes), Number(balance.balance));
  }

  return {
    undecided: () => group.length - decisions.size,
    sort,
    place,
    settle,
    decisions: () => decisions,
  };
}

/** A refusal of a request that waits: it is passed over, or refused where waiting cannot help. */
function passedOver(refusal: Refusal): Decision {
  const parked = parkedBy(refusal.code);
  return parked === undefined ? { kind: 'refused', refusal } : { kind: 'waiting', reason: parked, caps: NO_CAPS, parked };
}
