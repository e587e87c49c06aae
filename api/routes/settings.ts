import { z } from 'zod';
import { readSetting, writeSetting } from '../../shared/store/settings.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { invalidFields } from '../error-handler.ts';
import { type Api, errorAnswers, noBody, noQuery } from '../route-schema.ts';

/** Every strategy there is a name for. */
const STRATEGY_NAMES = [
  'round_robin',
  'least_connection',
  'weighted_round_robin',
  'resource_based',
  'load_balancing',
  'resource_efficiency',
  'locality_aware',
  'cost_optimization',
] as const;

const IMPLEMENTED: readonly string[] = ['resource_based'];

/** What an admin sets and sees of the whole: the strategy, the settings, and ending what is due. */
export function settingsRoutes(api: Api, deps: ServerDeps): void {
  const { store, options } = deps;

  api.post(
    '/scheduler/allocations/strategy',
    {
      config: { access: 'administrative', budget: 'write' },
      schema: {
        tags: ['Allocations'],
        summary: 'Choose where allocations land',
        description: 'Effective on every process within two seconds.',
        querystring: noQuery,
        body: z.strictObject({ strategy: z.enum(STRATEGY_NAMES) }),
        response: { 200: successOf(z.object({ strategy: z.enum(STRATEGY_NAMES) })), ...errorAnswers(422) },
      },
    },
    async (request) => {
      const { strategy } = request.body;
      if (!IMPLEMENTED.includes(strategy)) {
        throw invalidFields([
          { field: 'strategy', problem: `${strategy} is not implemented yet; choose one of ${IMPLEMENTED.join(', ')}` },
        ]);
      }
      await writeSetting(store, 'allocation_strategy', strategy, request.caller.key);
      return success(request, { strategy });
    },
  );

  api.post(
    '/scheduler/allocations/release-expired',
    {
      config: { access: 'administrative', budget: 'write' },
      schema: {
        tags: ['Allocations'],
        summary: 'End every allocation whose time is over, now',
        querystring: noQuery,
        body: noBody,
        response: { 200: successOf(z.object({ count: z.int() })), ...errorAnswers(422) },
      },
    },
    async (request) => {
      const count = await deps.releaseExpired();
      if (count > 0) await deps.available.evict();
      return success(request, { count });
    },
  );

  api.get(
    '/scheduler/config',
    {
      config: { access: 'administrative', budget: 'read' },
      schema: {
        tags: ['Allocations'],
        summary: 'The settings in force, without secrets',
        querystring: noQuery,
        response: {
          200: successOf(
            z.object({ allocation_strategy: z.string(), settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])) }),
          ),
          ...errorAnswers(),
        },
      },
    },
    async (request) => {
      const stored = await readSetting(store, 'allocation_strategy');
      const strategy = typeof stored === 'string' ? stored : options.defaultStrategy;
      return success(request, { allocation_strategy: strategy, settings: { ...options.publicSettings } });
    },
  );
}
