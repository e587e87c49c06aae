import { z } from 'zod';
import { SchedulerError } from '../../shared/errors.ts';
import { DEAD_LETTER_KINDS, type DeadLetterPosition, listDeadLetters, retryDeadLetters } from '../../shared/store/dead-letters.ts';
import { reachOf } from '../caller.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { type Api, errorAnswers, idParams, noBody, noQuery, pageOf, pagingQuery } from '../route-schema.ts';

const kind = z.enum(DEAD_LETTER_KINDS);

const deadLetter = z.object({
  id: z.string(),
  kind,
  allocationId: z.string().nullable(),
  userId: z.string().nullable(),
  attempts: z.int(),
  lastError: z.string().nullable().describe('What the last attempt was answered'),
  reason: z.string().describe('What it is about'),
  createdAt: z.string().describe('ISO 8601, UTC'),
});

const MOST = 1_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MILLISECONDS = /^\d{1,13}$/;

/** What could not be delivered and waits for somebody: bills, reports of use, notices, events. */
export function deadLetterRoutes(api: Api, { store }: ServerDeps): void {
  api.get(
    '/scheduler/dead-letters',
    {
      config: { access: 'administrative', budget: 'read' },
      schema: {
        tags: ['Operations'],
        summary: 'What is not tried again until somebody says so, newest first',
        querystring: z.strictObject({ kind: kind.optional(), ...pagingQuery }),
        response: { 200: successOf(pageOf(deadLetter)), ...errorAnswers() },
      },
    },
    async (request) => {
      const { limit, cursor, ...filter } = request.query;
      const after = cursor === undefined ? undefined : positionFrom(cursor);
      const { items, total, more } = await listDeadLetters(store, filter.kind, reachOf(request.caller), limit, after);
      const last = items.at(-1);
      const nextCursor = more && last !== undefined ? encodeCursor([String(last.createdAt.getTime()), last.id]) : null;
      return success(request, { items: items.map((item) => ({ ...item, createdAt: item.createdAt.toISOString() })), total, nextCursor });
    },
  );
  retryOne(api, store);
  retryMany(api, store);
}

function retryOne(api: Api, store: ServerDeps['store']): void {
  api.post(
    '/scheduler/dead-letters/:id/retry',
    {
      config: { access: 'administrative', budget: 'write' },
      schema: {
        tags: ['Operations'],
        summary: 'Try one again, with all its attempts',
        params: idParams,
        querystring: noQuery,
        body: noBody,
        response: { 200: successOf(z.object({ id: z.string(), kind })), ...errorAnswers(404, 422) },
      },
    },
    async (request) => {
      const [revived] = await retryDeadLetters(store, { id: request.params.id }, reachOf(request.caller));
      if (revived === undefined) throw new SchedulerError('DEAD_LETTER_NOT_FOUND');
      return success(request, revived);
    },
  );
}

function retryMany(api: Api, store: ServerDeps['store']): void {
  api.post(
    '/scheduler/dead-letters/retry',
    {
      config: { access: 'administrative', budget: 'batch' },
      schema: {
        tags: ['Operations'],
        summary: 'Try many again, the oldest first',
        querystring: noQuery,
        body: z.strictObject({ kind: kind.optional(), limit: z.int().min(1).max(MOST).default(MOST) }).nullish(),
        response: { 200: successOf(z.object({ count: z.int(), ids: z.array(z.string()) })), ...errorAnswers(422) },
      },
    },
    async (request) => {
      const { kind: wanted, limit = MOST } = request.body ?? {};
      const revived = await retryDeadLetters(store, { kind: wanted, limit }, reachOf(request.caller));
      return success(request, { count: revived.length, ids: revived.map(({ id }) => id) });
    },
  );
}

function positionFrom(cursor: string): DeadLetterPosition {
  const [createdAt, id = ''] = decodeCursor(cursor, [MILLISECONDS, UUID]);
  return { createdAt: new Date(Number(createdAt)), id };
}
