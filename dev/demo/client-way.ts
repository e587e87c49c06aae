import { setTimeout as pause } from 'node:timers/promises';
import { SchedulerClient } from '../../queues/client.ts';
import type { RequestStatus } from '../../queues/client-results.ts';
import { messageOf } from '../../shared/errors.ts';
import { MORE_MINUTES, type Told, type WayIn } from './way-in.ts';

export interface ClientWayOptions {
  readonly redisUrl: string;
  readonly clusterNodes: readonly string[];
  readonly prefix: string;
  /** Name of the calling service. */
  readonly service: string;
  readonly onRetry: () => void;
}

const TRIES = 8;
const PATIENCE_MS = 30_000;

/** Asks through the typed client of the package, which needs Redis only. */
export function createClientWay({ redisUrl, clusterNodes, prefix, service, onRetry }: ClientWayOptions): WayIn {
  const client = new SchedulerClient({ redis: { url: redisUrl, clusterNodes }, prefix, service });

  async function again<T>(call: () => Promise<T | undefined>, what: string): Promise<T> {
    let problem = 'no answer in time';
    for (let tries = 1; tries <= TRIES; tries += 1) {
      try {
        const answer = await call();
        if (answer !== undefined) return answer;
      } catch (error) {
        problem = messageOf(error);
        await pause(100 * 2 ** tries);
      }
      onRetry();
    }
    throw new Error(`${what}: ${problem}`);
  }

  return {
    ask: ({ id, userId, tenantId, tier, asked }) =>
      again(async () => {
        const result = await client.allocate(userId, { ...asked, requestId: id, tenantId, tier }, { timeoutMs: PATIENCE_MS });
        return toTold(result);
      }, `request ${id}`),
    await: async (plan, requestId) => {
      for (;;) {
        const status = await again(() => client.waitFor(requestId, { timeoutMs: PATIENCE_MS }), `request ${plan.id}`);
        const now = toTold(status);
        if (now.kind !== 'waiting') return now;
      }
    },
    extend: ({ id }, allocationId, fence) =>
      again(async () => {
        const named = { allocationId, additionalMinutes: MORE_MINUTES, extendId: id, ...(fence === undefined ? {} : { fence }) };
        const result = await client.extend(named, { timeoutMs: PATIENCE_MS });
        return result.status === 'pending' ? undefined : { refusedFor: result.status === 'refused' ? result.code : undefined };
      }, `extension of ${allocationId}`).then(({ refusedFor }) => refusedFor),
    release: async (_plan, allocationId, fence) => {
      const named = { allocationId, ...(fence === undefined ? {} : { fence }) };
      await again(async () => {
        const result = await client.release(named, { timeoutMs: PATIENCE_MS });
        if (result.status === 'refused') throw new Error(`refused: ${result.code}`);
        return result.status === 'released' ? true : undefined;
      }, `release of ${allocationId}`);
    },
    close: () => client.close(),
  };
}

function toTold(result: RequestStatus): Told {
  switch (result.status) {
    case 'granted':
      return { kind: 'granted', allocationId: result.allocation.allocationId, fence: result.allocation.fence };
    case 'pending':
    case 'waiting':
      return { kind: 'waiting', requestId: result.requestId };
    case 'unknown':
      return { kind: 'refused', code: 'unknown to the client' };
    default:
      return { kind: 'refused', code: result.code };
  }
}
