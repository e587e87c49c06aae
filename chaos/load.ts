import { createRandom, type Random } from '../dev/cluster/random.ts';
import { requestId } from '../dev/demo/made-up-load.ts';
import { type PlannedRequest, WAYS } from '../dev/demo/planned-request.ts';
import type { AskedAllocationInput } from '../shared/allocation/asked.ts';
import { TIERS } from '../shared/allocation/tier.ts';

const USERS = 60;
const TENANTS = 6;
/** So short that every tier may extend it at once. */
const RENEWABLE_MINUTES = 25;
/** The shortest a holder may be silent, s. */
const HEARTBEAT_S = 10;

/** Requests that are sent within `spanMs` of the start of a round; the same for the same seed. */
export function* makeLoad(requests: number, spanMs: number, seed: number): Generator<PlannedRequest> {
  const random = createRandom(seed);
  for (let index = 0; index < requests; index += 1) yield plan(index, (index / requests) * spanMs, seed, random);
}

function plan(index: number, atMs: number, seed: number, random: Random): PlannedRequest {
  const user = random.below(USERS);
  const way = random.pick(WAYS);
  // A few are never given back: their holders fall silent, or their minute runs out in one of the next rounds.
  const left = random.chance(0.06);
  const renew = !left && random.chance(0.15);
  const end: AskedAllocationInput = random.chance(0.5) ? { heartbeatSeconds: HEARTBEAT_S } : { durationMinutes: 1 };
  return {
    id: requestId(seed, index),
    atMs,
    way,
    userId: `chaos-user-${user}`,
    tenantId: `chaos-tenant-${user % TENANTS}`,
    tier: random.pick(TIERS),
    asked: {
      durationMinutes: renew ? RENEWABLE_MINUTES : 30,
      queueIfBusy: random.chance(0.5),
      maxWaitMinutes: 10,
      ...(random.chance(0.2) ? { devicePreferences: { deviceType: 'tablet' } } : {}),
      ...(random.chance(0.2) ? { preferredSpecs: { minCpu: 4 } } : {}),
      ...(left ? end : {}),
    },
    afterwards: left ? { kind: 'expire' } : { kind: 'release', afterMs: 200 + Math.min(random.around(1_000), 4_000) },
    renew,
    twice: way === 'http' && random.chance(0.1),
  };
}
