import { z } from 'zod';
import type { ErrandParts } from './errand.ts';
import { each } from './errand.ts';
import { errandUser, PLAN } from './plan.ts';

/** When they join, ms: by then most devices are held, and there is a queue. */
const JOIN_AT_MS = 22_000;
const LEAVE_AT_MS = 12_000;
const USED_MS = 3_000;
const PATIENCE_MS = 30_000;
const WISH = { durationMinutes: 30, maxWaitMinutes: 30 };

const entry = z.object({ id: z.string(), status: z.string(), allocationId: z.string().optional() });

/** Users who join the waiting queue, every other one through the typed client: most are served, some leave before. */
export async function joinAndLeave(parts: ErrandParts): Promise<void> {
  const { tally, tell } = parts;
  const byHttp = (number: number) => number % 2 === 0;
  await Promise.all([
    each(PLAN.joiners, (number) => beServed(parts, errandUser('joiner', number), byHttp(number))),
    each(PLAN.leavers, (number) => leave(parts, errandUser('leaver', number), byHttp(number))),
  ]);
  const { served, left } = tally.errands.queue;
  tell(`of those who joined the queue ${served.http + served.client} were served, ${left} left`);
}

async function beServed({ desk, client, tally }: ErrandParts, userId: string, byHttp: boolean): Promise<void> {
  const { queue } = tally.errands;
  await desk.pause(JOIN_AT_MS);
  const joinedAt = performance.now();
  const id = byHttp ? await joinOverHttp() : await joinByClient();
  tally.allocations.add(id);
  queue.waitMs.push(performance.now() - joinedAt);
  queue.served[byHttp ? 'http' : 'client'] += 1;
  await desk.pause(USED_MS);
  await desk.release(id);

  async function joinOverHttp(): Promise<string> {
    const joined = await desk.send('/scheduler/queue/join', { userId, userTier: 'vip', ...WISH }, entry);
    return desk.until(`a device for the entry of ${userId}`, async () => {
      const { status, allocationId } = await desk.get(`/scheduler/queue/${joined.id}`, entry);
      if (status === 'expired' || status === 'cancelled') throw new Error(`the entry of ${userId} is ${status}`);
      return allocationId;
    });
  }

  async function joinByClient(): Promise<string> {
    const joined = await client.joinQueue(userId, { ...WISH, tier: 'vip' }, { timeoutMs: PATIENCE_MS });
    if (joined.status === 'refused') throw new Error(`joining was refused: ${joined.code}`);
    return desk.until(`a device for the entry of ${userId}`, async () => {
      const now = await client.waitFor(joined.requestId, { timeoutMs: PATIENCE_MS });
      if (now.status === 'granted') return now.allocation.allocationId;
      if (now.status !== 'waiting' && now.status !== 'pending') throw new Error(`the entry of ${userId} is ${now.status}`);
      return undefined;
    });
  }
}

/** They may have no device, so that they wait until they leave. */
async function leave({ desk, client, tally, setLimit }: ErrandParts, userId: string, byHttp: boolean): Promise<void> {
  const { queue } = tally.errands;
  await setLimit(userId, 0);
  const id = byHttp ? (await desk.send('/scheduler/queue/join', { userId, ...WISH }, entry)).id : await joinByClient();
  const again = await desk.trySend('/scheduler/queue/join', { userId, ...WISH });
  if (again?.code === 'ALREADY_QUEUED') queue.joinedTwice += 1;
  await desk.pause(LEAVE_AT_MS);
  const left = byHttp ? await desk.send(`/scheduler/queue/${id}/cancel`, {}, entry) : await client.cancel(id, { timeoutMs: PATIENCE_MS });
  if (left.status === 'cancelled') queue.left += 1;

  async function joinByClient(): Promise<string> {
    const joined = await client.joinQueue(userId, WISH, { timeoutMs: PATIENCE_MS });
    if (joined.status !== 'waiting') throw new Error(`who joins the queue and may have no device is ${joined.status}`);
    return joined.requestId;
  }
}
