import { z } from 'zod';
import { checkStrategy, STRATEGY_TYPES } from '../../shared/placement/strategy.ts';
import {
  activateStrategy,
  createStrategy,
  deleteStrategy,
  listStrategies,
  readActiveStrategy,
  readStrategy,
  replaceStrategy,
  type StoredStrategy,
  type StrategyWords,
} from '../../shared/store/strategies.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { invalidFields } from '../error-handler.ts';
import { type Api, errorAnswers, idParams, noBody, noQuery, pageOf, pagingQuery, shortText } from '../route-schema.ts';

const MAX_PRIORITY = 1_000;

const strategyBody = z.strictObject({
  name: shortText.describe('Unique'),
  type: z.enum(STRATEGY_TYPES),
  description: z.string().max(1_000).nullish(),
  config: z
    .record(z.string(), z.unknown())
    .default({})
    .describe(
      'By type, all optional. least_connection: window. weighted_round_robin: cpu, memory. locality_aware: lastDevice, lastRegion. The others: none',
    ),
  priority: z.int().min(1).max(MAX_PRIORITY).default(100).describe('Of several of a type, the highest is activated by the type'),
});

const strategyAnswer = z.object({
  id: z.string(),
  name: z.string(),
  type: z.enum(STRATEGY_TYPES),
  description: z.string().nullable(),
  config: z.record(z.string(), z.unknown()),
  priority: z.int(),
  active: z.boolean(),
  createdAt: z.string().describe('ISO 8601, UTC'),
  updatedAt: z.string(),
});

const PRIORITY = /^\d{1,4}$/;
const NAME = /^.+$/s;
const tags = ['Strategies'];
const reading = { access: 'administrative', budget: 'read' } as const;
const writing = { access: 'administrative', budget: 'write' } as const;

/** Where allocations land: the strategies that are stored, and which of them is in force. */
export function strategyRoutes(api: Api, { store }: ServerDeps): void {
  api.get(
    '/scheduler/strategies',
    {
      config: reading,
      schema: {
        tags,
        summary: 'All strategies, by priority, the highest first',
        querystring: z.strictObject(pagingQuery),
        response: { 200: successOf(pageOf(strategyAnswer)), ...errorAnswers() },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query;
      const [priority, name = ''] = cursor === undefined ? [] : decodeCursor(cursor, [PRIORITY, NAME]);
      const after = priority === undefined ? undefined : { priority: Number(priority), name };
      const { items, total, more } = await listStrategies(store, limit, after);
      const last = items.at(-1);
      const nextCursor = more && last !== undefined ? encodeCursor([String(last.priority), last.name]) : null;
      return success(request, { items: items.map(view), total, nextCursor });
    },
  );

  api.post(
    '/scheduler/strategies',
    {
      config: writing,
      schema: {
        tags,
        summary: 'Store a strategy; it is not in force until it is activated',
        querystring: noQuery,
        body: strategyBody,
        response: { 201: successOf(strategyAnswer), ...errorAnswers(409, 422) },
      },
    },
    async (request, reply) => reply.code(201).send(success(request, view(await createStrategy(store, wordsOf(request.body))))),
  );

  api.get(
    '/scheduler/strategies/active',
    {
      config: reading,
      schema: {
        tags,
        summary: 'The strategy in force',
        querystring: noQuery,
        response: { 200: successOf(strategyAnswer), ...errorAnswers() },
      },
    },
    async (request) => success(request, view(await readActiveStrategy(store))),
  );
  strategyById(api, store);
}

function strategyById(api: Api, store: ServerDeps['store']): void {
  const answers = (...more: Parameters<typeof errorAnswers>) => ({ 200: successOf(strategyAnswer), ...errorAnswers(404, ...more) });

  api.get(
    '/scheduler/strategies/:id',
    { config: reading, schema: { tags, summary: 'One strategy', params: idParams, querystring: noQuery, response: answers() } },
    async (request) => success(request, view(await readStrategy(store, request.params.id))),
  );

  api.put(
    '/scheduler/strategies/:id',
    {
      config: writing,
      schema: {
        tags,
        summary: 'Say a strategy anew; what is left out has its default',
        description: 'A change of the one in force is effective on every process within two seconds.',
        params: idParams,
        querystring: noQuery,
        body: strategyBody,
        response: answers(409, 422),
      },
    },
    async (request) => success(request, view(await replaceStrategy(store, request.params.id, wordsOf(request.body)))),
  );

  api.delete(
    '/scheduler/strategies/:id',
    {
      config: writing,
      schema: {
        tags,
        summary: 'Delete a strategy; the one in force is refused with STRATEGY_ACTIVE',
        params: idParams,
        querystring: noQuery,
        response: { 200: successOf(z.object({ id: z.string() })), ...errorAnswers(404, 409) },
      },
    },
    async (request) => {
      await deleteStrategy(store, request.params.id);
      return success(request, { id: request.params.id });
    },
  );

  api.post(
    '/scheduler/strategies/:id/activate',
    {
      config: writing,
      schema: {
        tags,
        summary: 'Put a strategy in force instead of the one that is',
        description: 'Effective on every process within two seconds. On a large fleet the answer takes until its indexes are made.',
        params: idParams,
        querystring: noQuery,
        body: noBody,
        response: answers(422),
      },
    },
    async (request) => success(request, view(await activateStrategy(store, request.params.id))),
  );
}

function wordsOf({ name, type, description, config, priority }: z.output<typeof strategyBody>): StrategyWords {
  const checked = checkStrategy(type, config);
  if (!checked.ok) throw invalidFields(checked.problems);
  return { name, type, description: description ?? null, config: checked.strategy.config, priority };
}

function view({ createdAt, updatedAt, ...strategy }: StoredStrategy): z.output<typeof strategyAnswer> {
  return { ...strategy, createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() };
}
