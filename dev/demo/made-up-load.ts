import { createHash } from 'node:crypto';
import type { AskedAllocationInput } from '../../shared/allocation/asked.ts';
import type { Tier } from '../../shared/allocation/tier.ts';
import { createRandom, type Random } from '../cluster/random.ts';
import type { PlannedRequest, WayName } from './planned-request.ts';

/** Users of the demo. */
export const USERS = 500;
const TENANTS = 20;

/** How long the requests take to come, ms. With the mean hold it makes about 1 400 devices wanted at once of 1 000. */
const SPAN_MS = 60_000;
const MEAN_HOLD_MS = 17_000;
const LONGEST_HOLD_MS = 45_000;
/** Leases of the shortest length (a minute) are left to expire only this early, so that nobody waits for them at the end. */
const EXPIRE_BEFORE_MS = 12_000;
const HELD_AT_THE_END = 40;
/** So short that its end is within the window in which every tier may extend. */
const RENEWABLE_MINUTES = 25;

const TIERS_DRAWN: readonly [Tier, ...Tier[]] = ['free', 'free', 'standard', 'standard', 'standard', 'vip', 'premium', 'enterprise'];
const WAYS_DRAWN: readonly [WayName, ...WayName[]] = ['http', 'client'];

/** What a few users have that the others have not, by their number. */
export type Account = 'no quota' | 'expired quota' | 'one device' | 'no balance' | 'usual';

/** @param number  0 up to `USERS` */
export function accountOf(number: number): Account {
  if (number % 100 === 17) return 'no quota';
  if (number % 100 === 34) return 'expired quota';
  if (number % 100 === 51) return 'no balance';
  return number % 50 === 8 ? 'one device' : 'usual';
}

export const userIdOf = (number: number): string => `demo-user-${String(number).padStart(3, '0')}`;

/** Requests of 500 users of 20 tenants, in the order they are sent; the same for the same seed. */
export function* makeUpLoad(requests: number, seed: number): Generator<PlannedRequest> {
  const random = createRandom(seed);
  const tiers = Array.from({ length: USERS }, () => random.pick(TIERS_DRAWN));
  for (let index = 0; index < requests; index += 1) yield plan(index, requests, seed, random, tiers);
}

function plan(index: number, requests: number, seed: number, random: Random, tiers: readonly Tier[]): PlannedRequest {
  const atMs = (index / requests) * SPAN_MS;
  const user = random.below(USERS);
  const way = random.pick(WAYS_DRAWN);
  const expires = atMs < EXPIRE_BEFORE_MS && random.chance(0.06);
  const renew = !expires && random.chance(0.1);
  const afterwards = index >= requests - HELD_AT_THE_END ? ({ kind: 'hold' } as const) : hold(random, expires);
  return {
    id: requestId(seed, index),
    atMs,
    way,
    userId: userIdOf(user),
    tenantId: `demo-tenant-${user % TENANTS}`,
    tier: tiers[user] ?? 'standard',
    asked: { ...wish(random), durationMinutes: expires ? 1 : renew ? RENEWABLE_MINUTES : 30 + random.below(91) },
    afterwards,
    renew,
    twice: way === 'http' && random.chance(0.03),
  };
}

function hold(random: Random, expires: boolean): PlannedRequest['afterwards'] {
  const afterMs = Math.min(500 + random.around(MEAN_HOLD_MS), LONGEST_HOLD_MS);
  return expires ? { kind: 'expire' } : { kind: 'release', afterMs };
}

function wish(random: Random): AskedAllocationInput {
  const draw = random.next();
  const queueIfBusy = random.chance(0.3);
  const patience = { queueIfBusy, maxWaitMinutes: 5 };
  if (draw < 0.01) return { ...patience, preferredSpecs: { minCpu: 64 } };
  if (draw < 0.1) return { ...patience, preferredSpecs: { minCpu: 8, minMemory: 16_384 } };
  if (draw < 0.35) return { ...patience, preferredSpecs: { minCpu: 4 } };
  if (draw < 0.5) return { ...patience, devicePreferences: { deviceType: 'tablet' } };
  if (draw < 0.6) return { ...patience, devicePreferences: { region: 'eu-central', sameDeviceAsLast: true } };
  return patience;
}

/** A UUID that follows from seed and number, so that a run can be told again. */
export function requestId(seed: number, index: number): string {
  const digest = createHash('sha256').update(`request ${seed} ${index}`).digest('hex');
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-a${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
}
