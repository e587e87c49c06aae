import { z } from 'zod';
import { DEVICE_TYPES } from '../../shared/allocation/asked.ts';
import { partyId } from '../../shared/allocation/party-id.ts';
import {
  countEntries,
  ENTRY_COUNT_LIMIT,
  ENTRY_STATUSES,
  type EntryPage,
  listEntries,
  readQueueStats,
} from '../../shared/store/queue-entries.ts';
import { assertMayActFor, reachOf } from '../caller.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { invalidFields } from '../error-handler.ts';
import { entryAnswer, viewEntry } from '../queue-view.ts';
import { type Api, errorAnswers, noQuery, pageOf, pagingQuery, queryInteger } from '../route-schema.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MILLISECONDS = /^\d{1,13}$/;

/** `page` reads over what it skips: so far and no further. The cursor has no such end. */
const MOST_SKIPPED = 10_000;

const listQuery = z.strictObject({
  userId: partyId.optional(),
  status: z.enum(ENTRY_STATUSES).optional(),
  deviceType: z.enum(DEVICE_TYPES).optional(),
  ...pagingQuery,
  page: queryInteger(1).optional().describe('Instead of `cursor`'),
  pageSize: queryInteger(1, 100).optional().describe('Instead of `limit`'),
});

const listAnswer = pageOf(entryAnswer).extend({
  page: z.int().optional(),
  pageSize: z.int().optional(),
  totalPages: z.int().optional(),
});

const statsAnswer = z.object({
  waiting: z.int(),
  parked: z.int().describe('Waiting, and passed over for now'),
  byTier: z.record(z.string(), z.int()).describe('Of those waiting'),
  fulfilled: z.int().describe('Of those who came within the last 24 hours'),
  expired: z.int(),
  cancelled: z.int(),
  waitP50Seconds: z.number().nullable(),
  waitP95Seconds: z.number().nullable(),
});

/** Lists and counts of the waiting queue, of what the caller may see. */
export function queueListRoutes(api: Api, { store }: ServerDeps): void {
  for (const url of ['/scheduler/queue', '/scheduler/tasks'] as const) {
    api.get(
      url,
      {
        config: { access: 'caller', budget: 'read' },
        schema: {
          tags: ['Waiting queue'],
          summary: url === '/scheduler/tasks' ? 'The same as `/scheduler/queue`' : 'Entries of the queue, newest first',
          description: `\`total\` counts up to ${ENTRY_COUNT_LIMIT}. With \`page\` or \`pageSize\` the answer says \`page\`, \`pageSize\` and \`totalPages\`.`,
          querystring: listQuery,
          response: { 200: successOf(listAnswer), ...errorAnswers() },
        },
      },
      async (request) => {
        const { limit, cursor, page, pageSize, ...filter } = request.query;
        if (filter.userId !== undefined) assertMayActFor(request.caller, filter.userId);
        const size = pageSize ?? limit;
        const paged = page !== undefined || pageSize !== undefined;
        const reach = reachOf(request.caller);
        const [{ items, more }, total] = await Promise.all([
          listEntries(store, filter, reach, size, paged ? pageFrom(page ?? 1, size) : cursorFrom(cursor)),
          countEntries(store, filter, reach),
        ]);
        const last = items.at(-1);
        const nextCursor = more && last !== undefined ? encodeCursor([String(last.createdAt.getTime()), last.id]) : null;
        const numbers = paged ? { page: page ?? 1, pageSize: size, totalPages: Math.ceil(total / size) } : {};
        return success(request, { items: items.map((entry) => viewEntry(entry)), total, nextCursor, ...numbers });
      },
    );
  }

  api.get(
    '/scheduler/queue/stats',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Waiting queue'],
        summary: 'Counts and waits of the queue, of what the caller may see',
        querystring: noQuery,
        response: { 200: successOf(statsAnswer), ...errorAnswers() },
      },
    },
    async (request) => {
      const stats = await readQueueStats(store, reachOf(request.caller));
      return success(request, { ...stats, byTier: { ...stats.byTier } });
    },
  );
}

function cursorFrom(cursor: string | undefined): EntryPage {
  if (cursor === undefined) return { after: undefined };
  const [at, id] = decodeCursor(cursor, [MILLISECONDS, UUID]);
  return { after: { createdAt: new Date(Number(at)), id: id ?? '' } };
}

function pageFrom(page: number, size: number): EntryPage {
  const skip = (page - 1) * size;
  if (skip > MOST_SKIPPED) throw invalidFields([{ field: 'page', problem: `reaches at most ${MOST_SKIPPED} items; use cursor` }]);
  return { skip };
}
