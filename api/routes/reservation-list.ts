import { z } from 'zod';
import { partyId } from '../../shared/allocation/party-id.ts';
import { RESERVATION_STATUSES } from '../../shared/reservation/reservation.ts';
import {
  conflictsOf,
  countReservations,
  listReservations,
  RESERVATION_COUNT_LIMIT,
  type ReservationPage,
  readReservationStats,
} from '../../shared/store/read-reservations.ts';
import { assertMayActFor, reachOf } from '../caller.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { invalidFields } from '../error-handler.ts';
import { reservationAnswer, viewReservation } from '../reservation-view.ts';
import { type Api, errorAnswers, instantInput, noQuery, pageOf, pagingQuery, queryInteger } from '../route-schema.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MILLISECONDS = /^-?\d{1,15}$/;
/** `page` reads over what it skips: so far and no further. The cursor has no such end. */
const MOST_SKIPPED = 10_000;

const listQuery = z.strictObject({
  userId: partyId.optional(),
  status: z.enum(RESERVATION_STATUSES).optional(),
  deviceId: z.guid().optional(),
  seriesId: z.guid().optional(),
  startTimeFrom: instantInput.optional().describe('Starts at or after'),
  startTimeTo: instantInput.optional().describe('Starts before'),
  ...pagingQuery,
  page: queryInteger(1).optional().describe('Instead of `cursor`'),
  pageSize: queryInteger(1, 100).optional().describe('Instead of `limit`'),
});

const listAnswer = pageOf(reservationAnswer).extend({
  page: z.int().optional(),
  pageSize: z.int().optional(),
  totalPages: z.int().optional(),
});

const conflictBody = z
  .strictObject({ userId: partyId, startTime: instantInput, endTime: instantInput })
  .refine(({ startTime, endTime }) => endTime > startTime, { message: 'must be after startTime', path: ['endTime'] });

const conflictAnswer = z.object({ hasConflict: z.boolean(), conflictingReservations: z.array(reservationAnswer) });

const statsAnswer = z.object({
  total: z.int(),
  byStatus: z.record(z.string(), z.int()),
  startingWithin24h: z.int(),
  startedLast30Days: z.int(),
  noShowsLast30Days: z.int(),
  startDelayP95Ms: z.number().nullable().describe('From the reserved start to the grant, last 30 days, ms'),
});

/** Lists, conflicts and counts of reservations. */
export function reservationListRoutes(api: Api, { store }: ServerDeps): void {
  api.get(
    '/scheduler/reservations',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Reservations'],
        summary: 'Reservations, latest start first',
        description: `\`total\` counts up to ${RESERVATION_COUNT_LIMIT}. With \`page\` or \`pageSize\` the answer says \`page\`, \`pageSize\` and \`totalPages\`.`,
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
        listReservations(store, filter, reach, size, paged ? pageFrom(page ?? 1, size) : cursorFrom(cursor)),
        countReservations(store, filter, reach),
      ]);
      const last = items.at(-1);
      const nextCursor = more && last !== undefined ? encodeCursor([String(last.startsAt.getTime()), last.reservationId]) : null;
      const numbers = paged ? { page: page ?? 1, pageSize: size, totalPages: Math.ceil(total / size) } : {};
      return success(request, { items: items.map(viewReservation), total, nextCursor, ...numbers });
    },
  );

  api.post(
    '/scheduler/reservations/check-conflict',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Reservations'],
        summary: 'Has the user reserved something at that time?',
        querystring: noQuery,
        body: conflictBody,
        response: { 200: successOf(conflictAnswer), ...errorAnswers(422) },
      },
    },
    async (request) => {
      const { userId, startTime, endTime } = request.body;
      assertMayActFor(request.caller, userId);
      const conflicts = await conflictsOf(store, userId, reachOf(request.caller), startTime, endTime);
      return success(request, { hasConflict: conflicts.length > 0, conflictingReservations: conflicts.map(viewReservation) });
    },
  );

  api.get(
    '/scheduler/reservations/stats/summary',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Reservations'],
        summary: 'Counts of the reservations the caller may see',
        querystring: noQuery,
        response: { 200: successOf(statsAnswer), ...errorAnswers() },
      },
    },
    async (request) => success(request, await readReservationStats(store, reachOf(request.caller))),
  );
}

function cursorFrom(cursor: string | undefined): ReservationPage {
  if (cursor === undefined) return { after: undefined };
  const [at, reservationId] = decodeCursor(cursor, [MILLISECONDS, UUID]);
  return { after: { startsAt: new Date(Number(at)), reservationId: reservationId ?? '' } };
}

function pageFrom(page: number, size: number): ReservationPage {
  const skip = (page - 1) * size;
  if (skip > MOST_SKIPPED) throw invalidFields([{ field: 'page', problem: `reaches at most ${MOST_SKIPPED} items; use cursor` }]);
  return { skip };
}
