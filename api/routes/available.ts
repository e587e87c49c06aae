import { z } from 'zod';
import { DEVICE_TYPES, PROVIDER_TYPES } from '../../shared/allocation/asked.ts';
import { type AvailableFilter, countAvailable, listAvailable } from '../../shared/store/available.ts';
import { type Caller, reachOf } from '../caller.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import type { ServerDeps } from '../deps.ts';
import { publicDevice } from '../device-schema.ts';
import { successOf, successText } from '../envelope.ts';
import type { CountCall } from '../rate-limit.ts';
import { type Api, errorAnswers, pageOf, pagingQuery, queryInteger } from '../route-schema.ts';

const query = z.strictObject({
  deviceType: z.enum(DEVICE_TYPES).optional(),
  providerType: z.enum(PROVIDER_TYPES).optional(),
  region: z.string().min(1).max(100).optional(),
  minCpu: queryInteger().optional().describe('Cores'),
  minMemory: queryInteger().optional().describe('MB'),
  ...pagingQuery,
});

type Query = z.output<typeof query>;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Up to here free devices are counted anew for every list; a larger number is counted every ten seconds. */
const COUNTED_EXACTLY = 5_000;
const LARGE_TOTAL_LIFE_S = 10;

/** `GET /scheduler/devices/available`: what somebody could have now. The list is cached, and evicted on every change. */
export function availableRoutes(api: Api, deps: ServerDeps, countCall: CountCall): void {
  api.get(
    '/scheduler/devices/available',
    {
      config: { access: 'caller', budget: 'read', countsItself: true },
      schema: {
        tags: ['Allocations'],
        summary: 'Devices that could be allocated now',
        description: 'By id. `X-Cache` says whether the list came from the cache. Above 5 000 free devices `total` may be ten seconds old.',
        querystring: query,
        response: { 200: successOf(pageOf(publicDevice)), ...errorAnswers() },
      },
    },
    async (request, reply) => {
      const filter = filterOf(request.caller, request.query);
      const { limit, cursor } = request.query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, [UUID])[0];
      // Counting the call and reading the list go to Redis together: one round trip instead of two.
      const [, list] = await Promise.all([
        countCall(request, reply),
        deps.available.read(keyOf(filter, limit, after), () => loadPage(deps, filter, limit, after)),
      ]);
      reply.header('x-cache', list.hit ? 'HIT' : 'MISS').type('application/json; charset=utf-8');
      return reply.send(successText(request, list.text) as never);
    },
  );
}

function filterOf(caller: Caller, { deviceType, providerType, region, minCpu, minMemory }: Query): AvailableFilter {
  const tenants = reachOf(caller).kind === 'all' ? ({ kind: 'all' } as const) : ({ kind: 'one', tenantId: caller.tenantId } as const);
  return { tenants, deviceType, providerType, region, minCpu, minMemory };
}

function keyOf(filter: AvailableFilter, limit: number, after: string | undefined): string {
  return JSON.stringify([totalKeyOf(filter), limit, after]);
}

function totalKeyOf({ tenants, deviceType, providerType, region, minCpu, minMemory }: AvailableFilter): string {
  return JSON.stringify([tenants.kind === 'all' ? true : tenants.tenantId, deviceType, providerType, region, minCpu, minMemory]);
}

async function loadPage(deps: ServerDeps, filter: AvailableFilter, limit: number, after: string | undefined): Promise<string> {
  const [{ items, more }, total] = await Promise.all([listAvailable(deps.store, filter, limit, after), totalOf(deps, filter)]);
  const last = items.at(-1);
  return JSON.stringify({ items, total, nextCursor: more && last !== undefined ? encodeCursor([last.id]) : null });
}

async function totalOf(deps: ServerDeps, filter: AvailableFilter): Promise<number> {
  const counted = await countAvailable(deps.store, filter, COUNTED_EXACTLY + 1);
  if (counted <= COUNTED_EXACTLY) return counted;
  const key = `${deps.options.prefix}:available:total:${totalKeyOf(filter)}`;
  const known = await attempt(deps, () => deps.redis.get(key));
  if (known != null) return Number(known);
  const total = await countAvailable(deps.store, filter, null);
  await attempt(deps, () => deps.redis.set(key, total, 'EX', LARGE_TOTAL_LIFE_S));
  return total;
}

/** Without Redis every list of a large fleet counts anew. */
async function attempt<T>({ logger }: ServerDeps, command: () => Promise<T>): Promise<T | undefined> {
  try {
    return await command();
  } catch (error) {
    logger.warn({ err: error }, 'the number of free devices could not be cached');
    return undefined;
  }
}
