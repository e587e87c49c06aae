import { randomInt } from 'node:crypto';
import type { Cluster, Redis } from 'ioredis';
import { TIER_PRIORITY } from '../shared/allocation/tier.ts';
import { SchedulerError } from '../shared/errors.ts';
import type { Place } from './fair-order-model.ts';
import { ADVANCE, PLACE } from './fair-order-script.ts';
import type { NewAllocate } from './jobs/allocate.ts';
import { QUEUES } from './names.ts';

/** What the fair order needs to know of a request. */
export type Asker = Pick<NewAllocate, 'userId' | 'tenantId' | 'tier'>;

/** What became of an attempt to place requests. */
export type Placing =
  | { readonly kind: 'placed'; readonly places: readonly Place[] }
  | { readonly kind: 'overloaded'; readonly waiting: number };

/**
 * Gives each request its place in the order of service, all or none, in one round trip.
 *
 * @param maxWaiting  jobs that may wait in all; above it nothing is placed
 * @throws whatever Redis reports
 */
export async function placeInFairOrder(
  redis: Redis | Cluster,
  prefix: string,
  askers: readonly Asker[],
  maxWaiting: number,
): Promise<Placing> {
  const jobs = `${prefix}:${QUEUES.allocate}`;
  const keys = [stateKey(prefix), `${prefix}:fair:flows`, `${jobs}:prioritized`, `${jobs}:wait`];
  const flows = askers.flatMap((asker) => [flowOf(asker), TIER_PRIORITY[asker.tier]]);
  // The first era is drawn: after a FLUSHALL reports about the lost order must not be taken for this one's.
  const reply = await PLACE.run(redis, keys, [`${jobs}:`, maxWaiting, randomInt(1_048_576), ...flows]);
  return toPlacing(reply, askers.length);
}

/**
 * Tells the order that requests were taken; call it once per group, not per request.
 *
 * @param fairStart  the largest `fairStart` among them
 * @param count      how many were taken
 */
export async function advanceFairOrder(redis: Redis | Cluster, prefix: string, fairStart: number, count: number): Promise<void> {
  await ADVANCE.run(redis, [stateKey(prefix)], [fairStart, count]);
}

const stateKey = (prefix: string) => `${prefix}:fair`;

/** Whose queue a request stands in: the tenant's; the user's own where there is none. */
function flowOf({ tenantId, userId }: Asker): string {
  return tenantId === null ? `u:${userId}` : `t:${tenantId}`;
}

function toPlacing(reply: unknown, count: number): Placing {
  const [waiting, ...places] = Array.isArray(reply) ? reply.map(Number) : [];
  if (waiting === undefined) throw new SchedulerError('INTERNAL', { messages: ['the fair order gave no answer'] });
  if (places.length === 0 && count > 0) return { kind: 'overloaded', waiting };
  return {
    kind: 'placed',
    places: Array.from({ length: count }, (_, index) => ({ tag: places[2 * index] ?? 1, fairStart: places[2 * index + 1] ?? 0 })),
  };
}
