import { z } from 'zod';
import { partyId } from '../../shared/allocation/party-id.ts';
import { TIER_WORDS } from '../../shared/allocation/tier.ts';
import { SchedulerError } from '../../shared/errors.ts';
import { type AskedReservation, askedReservation, changedReservation } from '../../shared/reservation/asked-reservation.ts';
import { beginsSoon } from '../../shared/reservation/begins-soon.ts';
import { announce } from '../../shared/run/announce.ts';
import { bookSeries, type SeriesOutcome } from '../../shared/store/book-series.ts';
import { cancelReservation, cancelSeries, changeReservation } from '../../shared/store/change-reservation.ts';
import { noteShown, readReservation } from '../../shared/store/read-reservations.ts';
import type { ReservationRecord } from '../../shared/store/reservation-rows.ts';
import { type ReserveOutcome, reserve } from '../../shared/store/reserve.ts';
import { requestIdFor } from '../ask-allocation.ts';
import { assertMayActFor, isUser, reachOf, tierFor } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { traceIdOf } from '../request-context.ts';
import { reservationAnswer, seriesAnswer, viewReservation, viewWholeReservation, wholeReservation } from '../reservation-view.ts';
import { type Api, errorAnswers, idParams, noQuery, TENANT_RULE } from '../route-schema.ts';
import { tenantFor } from '../tenant-for.ts';

const body = z.strictObject({
  userId: partyId,
  tenantId: partyId.optional().describe(TENANT_RULE),
  userTier: z.enum(TIER_WORDS).optional().describe('Services only'),
  ...askedReservation.shape,
});

const cancelBody = z
  .strictObject({
    reason: z.string().min(1).max(500).optional(),
    series: z.boolean().default(false).describe('Cancel all occurrences that have not begun, and make no new ones'),
  })
  .nullish();

const cancelAnswer = reservationAnswer.extend({
  cancelledIds: z.array(z.string()).optional().describe('With `series`: every one that was cancelled'),
});

/** Making, reading, changing and cancelling reservations. */
export function reservationRoutes(api: Api, deps: ServerDeps): void {
  const { store, options } = deps;
  const rules = options.reservations;
  const tell = (availability: boolean) => announce(deps.redis, options.prefix, { availability, outbox: true, outcomes: [] }, deps.logger);

  /** Told at once, not at the next look: who waits may have these devices, and lists may show them. */
  async function tellFreed(devices: readonly string[], soon = false): Promise<void> {
    await tell(soon || devices.length > 0);
    if (devices.length > 0) await deps.capacity.changed({ devices });
  }

  api.post(
    '/scheduler/reservations',
    {
      config: { access: 'caller', budget: 'write' },
      schema: {
        tags: ['Reservations'],
        summary: 'Reserve a device for a time to come',
        description: 'With `recurrence` the answer is the series: what was booked up to the horizon and what could not be.',
        querystring: noQuery,
        body,
        response: { 201: successOf(z.union([reservationAnswer, seriesAnswer])), ...errorAnswers(402, 409, 422) },
      },
    },
    async (request, reply) => {
      const { userId, tenantId, userTier, ...asked } = request.body;
      const { caller } = request;
      assertMayActFor(caller, userId);
      const tier = tierFor(caller, userId, userTier);
      const who = { userId, tenantId: await tenantFor(store, caller, userId, tenantId), tier };
      const [id, traceId] = [requestIdFor(request.heldKey), traceIdOf(request.headers, request.id)];
      const data =
        asked.recurrence === undefined ? await bookOne(id, who, asked, traceId) : await bookMany(id, who, asked, asked.recurrence, traceId);
      await tell(beginsSoon({ startsAt: asked.reservedStartTime }));
      return reply
        .code(201)
        .header('location', `/scheduler/reservations/${'id' in data ? data.id : data.reservations[0]?.id}`)
        .send(success(request, data));
    },
  );

  type Who = { readonly userId: string; readonly tenantId: string | null; readonly tier: ReservationRecord['tier'] };

  async function bookOne(reservationId: string, who: Who, asked: AskedReservation, traceId: string) {
    const { reservedStartTime, deviceId, ...wish } = asked;
    const outcome = await reserve(
      store,
      {
        reservationId,
        ...who,
        startsAt: reservedStartTime,
        durationMinutes: wish.durationMinutes,
        deviceType: wish.deviceType ?? null,
        minCpu: wish.minCpu ?? null,
        minMemory: wish.minMemory ?? null,
        wantedDeviceId: deviceId ?? null,
        remindBeforeMinutes: wish.remindBeforeMinutes,
        series: null,
        traceId,
      },
      rules,
    );
    return viewReservation(reservedOf(outcome));
  }

  async function bookMany(
    seriesId: string,
    who: Who,
    asked: AskedReservation,
    recurrence: NonNullable<AskedReservation['recurrence']>,
    traceId: string,
  ) {
    const { reservedStartTime, recurrence: _recurrence, ...wanted } = asked;
    const series = { seriesId, ...who, asked: wanted, recurrence, firstStartsAt: reservedStartTime, nextIndex: 0 };
    return viewSeries(await bookSeries(store, series, traceId, rules));
  }

  api.get(
    '/scheduler/reservations/:id',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Reservations'],
        summary: 'One reservation; while it runs its holder is told how to reach the device, and has shown up by asking in person',
        params: idParams,
        querystring: noQuery,
        response: { 200: successOf(wholeReservation), ...errorAnswers(404) },
      },
    },
    async (request) => {
      const { caller } = request;
      const reservation = await readReservation(store, request.params.id, reachOf(caller));
      if (reservation === undefined) throw new SchedulerError('RESERVATION_NOT_FOUND');
      const { userId, status, allocationId } = reservation;
      const inPerson = isUser(caller, userId);
      // A service that looks, to list or to watch, is no sign that its user has come.
      if (inPerson && status === 'executing' && allocationId !== null) await noteShown(store, allocationId);
      return success(request, viewWholeReservation(reservation, inPerson || caller.role === 'service'));
    },
  );

  api.put(
    '/scheduler/reservations/:id',
    {
      config: { access: 'caller', budget: 'write' },
      schema: {
        tags: ['Reservations'],
        summary: 'Change a reservation that has not begun; every rule is checked again',
        params: idParams,
        querystring: noQuery,
        body: changedReservation,
        response: { 200: successOf(reservationAnswer), ...errorAnswers(402, 404, 409, 422) },
      },
    },
    async (request) => {
      const outcome = await changeReservation(store, request.params.id, reachOf(request.caller), request.body, rules);
      if (outcome === undefined) throw new SchedulerError('RESERVATION_NOT_FOUND');
      if (outcome.status === 'refused') throw refused(outcome);
      const { reservation, freed } = outcome;
      await tellFreed(freed, beginsSoon(reservation));
      return success(request, viewReservation(reservation));
    },
  );

  api.post(
    '/scheduler/reservations/:id/cancel',
    {
      config: { access: 'caller', budget: 'write' },
      schema: {
        tags: ['Reservations'],
        summary: 'Cancel a reservation that has not begun, or the rest of its series',
        params: idParams,
        querystring: noQuery,
        body: cancelBody,
        response: { 200: successOf(cancelAnswer), ...errorAnswers(404, 409, 422) },
      },
    },
    async (request) => {
      const { reason = null, series = false } = request.body ?? {};
      const cancelled = await (series ? cancelWhole : cancelOne)(request.params.id, reachOf(request.caller), reason);
      await tellFreed(cancelled.freed);
      return success(request, cancelled.data);
    },
  );

  type Reach = ReturnType<typeof reachOf>;
  interface Cancelled {
    readonly data: z.output<typeof cancelAnswer>;
    readonly freed: readonly string[];
  }

  async function cancelOne(id: string, reach: Reach, reason: string | null): Promise<Cancelled> {
    const outcome = await cancelReservation(store, id, reach, reason);
    if (outcome === undefined) throw new SchedulerError('RESERVATION_NOT_FOUND');
    if (outcome.status === 'refused') throw refused(outcome);
    return { data: viewReservation(outcome.reservation), freed: outcome.freed };
  }

  async function cancelWhole(id: string, reach: Reach, reason: string | null): Promise<Cancelled> {
    const outcome = await cancelSeries(store, id, reach, reason);
    if (outcome === undefined) throw new SchedulerError('RESERVATION_NOT_FOUND');
    if (outcome.status === 'refused') throw refused(outcome);
    const named = await readReservation(store, id, reach);
    if (named === undefined) throw new SchedulerError('RESERVATION_NOT_FOUND');
    const cancelledIds = outcome.reservations.map(({ reservationId }) => reservationId);
    return { data: { ...viewReservation(named), cancelledIds }, freed: outcome.freed };
  }
}

function reservedOf(outcome: ReserveOutcome): ReservationRecord {
  if (outcome.status === 'refused') throw refused(outcome);
  return outcome.reservation;
}

function viewSeries(outcome: SeriesOutcome): z.output<typeof seriesAnswer> {
  if (outcome.status === 'refused') throw refused(outcome);
  const { seriesId, booked, missed, nextStartsAt } = outcome;
  return {
    seriesId,
    reservations: booked.map(viewReservation),
    missed: missed.map(({ startsAt, code, reason, details }) => ({
      reservedStartTime: startsAt.toISOString(),
      code,
      reason,
      ...(details && { details: { ...details } }),
    })),
    nextStartTime: nextStartsAt?.toISOString() ?? null,
  };
}

function refused({ code, reason, details }: Extract<ReserveOutcome, { status: 'refused' }>): SchedulerError {
  return new SchedulerError(code, { messages: [reason], ...(details === undefined ? {} : { details }) });
}
