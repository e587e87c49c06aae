import type { BookedReservation, ReserveJobOutcome, ReservePayload } from '../../queues/jobs/reserve.ts';
import { bookSeries, type SeriesRules } from '../../shared/store/book-series.ts';
import { tenantOfUser } from '../../shared/store/requests.ts';
import type { ReservationRecord } from '../../shared/store/reservation-rows.ts';
import { reserve } from '../../shared/store/reserve.ts';
import type { Store } from '../../shared/store/store.ts';

/**
 * Books what another service asks for, once or as a series. Safe to run twice: the second run finds what was booked.
 *
 * @throws SchedulerError STORE_UNAVAILABLE, OVERLOADED; the queue tries again
 */
export async function reserveFor(store: Store, rules: SeriesRules, payload: ReservePayload): Promise<ReserveJobOutcome> {
  const { reservationId, userId, tier } = payload;
  const tenantId = payload.tenantId ?? (await tenantOfUser(store, userId)) ?? null;
  const { reservedStartTime, recurrence, ...wanted } = payload.asked;
  const traceId = payload.traceId ?? null;
  if (recurrence === undefined) {
    const { durationMinutes, remindBeforeMinutes } = wanted;
    const outcome = await reserve(
      store,
      {
        reservationId,
        userId,
        tenantId,
        tier,
        startsAt: reservedStartTime,
        durationMinutes,
        remindBeforeMinutes,
        deviceType: wanted.deviceType ?? null,
        minCpu: wanted.minCpu ?? null,
        minMemory: wanted.minMemory ?? null,
        wantedDeviceId: wanted.deviceId ?? null,
        series: null,
        traceId,
      },
      rules,
    );
    return outcome.status === 'refused' ? { ...outcome, reservationId } : { status: 'reserved', ...toBooked(outcome.reservation) };
  }
  const series = {
    seriesId: reservationId,
    userId,
    tenantId,
    tier,
    asked: wanted,
    recurrence,
    firstStartsAt: reservedStartTime,
    nextIndex: 0,
  };
  const outcome = await bookSeries(store, series, traceId, rules);
  if (outcome.status === 'refused') return { ...outcome, reservationId };
  const missed = outcome.missed.map(({ startsAt, code, reason }) => ({ reservedStartTime: startsAt.toISOString(), code, reason }));
  return { status: 'reserved', seriesId: outcome.seriesId, reservations: outcome.booked.map(toBooked), missed };
}

function toBooked({ reservationId, deviceId, startsAt, endsAt }: ReservationRecord): BookedReservation {
  return { reservationId, deviceId, reservedStartTime: startsAt.toISOString(), reservedEndTime: endsAt.toISOString() };
}
