import { z } from 'zod';
import { checkStrategy, defaultStrategy, STRATEGY_TYPES, type Strategy } from '../../shared/placement/strategy.ts';
import { fromTrace, tracedRequest } from '../../shared/simulation/recorded.ts';
import { readFleetSample, readRecordedRequests } from '../../shared/store/recorded-requests.ts';
import { readActiveStrategy, strategyOf } from '../../shared/store/strategies.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { invalidFields } from '../error-handler.ts';
import { type Api, errorAnswers, noQuery } from '../route-schema.ts';
import { runSimulation } from '../run-simulation.ts';

/** Requests of a trace, and of our own that are replayed without one. */
const MOST_REQUESTS = 5_000;
const RECENT_REQUESTS = 1_000;
/** Of a larger fleet a sample is simulated. */
const MOST_DEVICES = 2_000;

const simulateBody = z.strictObject({
  type: z.enum(STRATEGY_TYPES).describe('The one that is asked about; the others are simulated for comparison'),
  config: z.record(z.string(), z.unknown()).optional().describe('Settings of this type to try; left out, those in force or the defaults'),
  trace: z
    .array(tracedRequest)
    .min(1)
    .max(MOST_REQUESTS)
    .optional()
    .describe(`Requests to replay; left out, the last ${RECENT_REQUESTS} that were made`),
});

const ms = z.number().nullable();
const resultAnswer = z.object({
  type: z.enum(STRATEGY_TYPES),
  config: z.record(z.string(), z.unknown()),
  grants: z.int(),
  refusals: z.int().describe('Those that waited in vain included'),
  refusalsByCode: z.record(z.string(), z.int()),
  waitP50Ms: ms.describe('Of those that were granted; null when none was'),
  waitP95Ms: ms,
  utilisation: z.number().describe('Share of the time of all devices in which they were held, 0..1'),
  cost: z.number().describe('Hours held times costPerHour'),
});

const simulationAnswer = z.object({
  type: z.enum(STRATEGY_TYPES),
  active: z.enum(STRATEGY_TYPES).describe('In force now'),
  requests: z.int().describe('Replayed against each strategy'),
  unreadable: z.int().describe('Recorded requests that could not be read, and are left out'),
  devices: z.int().describe('Simulated, all of them free at the beginning'),
  fleet: z.int().describe('Devices there are; more than were simulated: a sample was'),
  results: z.array(resultAnswer).describe('The one that is asked about first'),
});

/** What the same requests would have got by each strategy. */
export function simulateRoutes(api: Api, { store }: ServerDeps): void {
  api.post(
    '/scheduler/strategies/simulate',
    {
      config: { access: 'administrative', budget: 'batch' },
      schema: {
        tags: ['Strategies'],
        summary: 'Replay recorded requests against each strategy',
        description: `By the decisions of live requests, over the fleet as if all of it were free, without limits of users. At most ${MOST_REQUESTS} requests and ${MOST_DEVICES} devices; one simulation at a time in a process.`,
        querystring: noQuery,
        body: simulateBody,
        response: { 200: successOf(simulationAnswer), ...errorAnswers(413, 422) },
      },
    },
    async (request) => {
      const { type, config, trace } = request.body;
      const active = strategyOf(await readActiveStrategy(store));
      const strategies = strategiesFor(type, config, active);
      const [{ requests, unreadable }, fleet] = await Promise.all([
        trace === undefined ? readRecordedRequests(store, RECENT_REQUESTS) : { requests: trace.map(fromTrace), unreadable: 0 },
        readFleetSample(store, MOST_DEVICES),
      ]);
      const results = await runSimulation({ fleet: fleet.devices, requests, strategies });
      const counts = { requests: requests.length, unreadable, devices: fleet.devices.length, fleet: fleet.of };
      return success(request, { type, active: active.type, ...counts, results });
    },
  );
}

/** Every type once, the one that is asked about first. */
function strategiesFor(type: Strategy['type'], config: unknown, active: Strategy): Strategy[] {
  const others = STRATEGY_TYPES.filter((other) => other !== type).map((other) => (other === active.type ? active : defaultStrategy(other)));
  if (config === undefined) return [type === active.type ? active : defaultStrategy(type), ...others];
  const checked = checkStrategy(type, config);
  if (!checked.ok) throw invalidFields(checked.problems);
  return [checked.strategy, ...others];
}
