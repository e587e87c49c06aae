import type { CapacityChange, CapacitySignal } from '../../queues/capacity-signal.ts';
import { type ReservationJobName, reservationsPayload } from '../../queues/jobs/reservations.ts';
import { RESERVE, reservePayload } from '../../queues/jobs/reserve.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { beginsSoon } from '../../shared/reservation/begins-soon.ts';
import { announce } from '../../shared/run/announce.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import type { SeriesRules } from '../../shared/store/book-series.ts';
import { type Run, runOnce, tickOf } from '../../shared/store/run-once.ts';
import type { Store } from '../../shared/store/store.ts';
import { extendAllSeries } from './extend-series.ts';
import { reserveFor } from './reserve.ts';
import { type TickParts, tick } from './tick.ts';

export interface ReservationParts extends Omit<TickParts, 'announce' | 'job'> {
  readonly store: Store;
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly rules: SeriesRules;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** Which verb runs for which schedule of the queue `reservations`: complete by its type. */
export function createScheduledHandlers(
  parts: ReservationParts & { readonly capacity: CapacitySignal },
): Record<ReservationJobName, JobHandler> {
  const { redis, prefix, capacity, logger } = parts;
  const tell = async (change: CapacityChange) => {
    await announce(redis, prefix, { availability: true, outbox: true, outcomes: [] }, logger);
    await capacity.changed(change);
  };
  const runs: Record<ReservationJobName, Run> = {
    reservations: (signal) => tick({ ...parts, job: 'reservations', announce: tell }, signal),
    'reservation-series': async (signal) => {
      const result = await extendAllSeries(parts, signal);
      if (result.booked + result.missed > 0) await tell({});
      return result;
    },
  };
  const handler = (name: ReservationJobName) =>
    checked(reservationsPayload, ({ by }, { id, signal }) =>
      runOnce(parts, { job: name, at: by === 'schedule' ? tickOf(id) : undefined, signal }, runs[name]),
    );
  return { reservations: handler('reservations'), 'reservation-series': handler('reservation-series') };
}

/** The verb of the queue `reserve`. */
export function createReserveHandlers({ store, redis, prefix, rules, logger }: ReservationParts): Record<typeof RESERVE, JobHandler> {
  return {
    [RESERVE]: checked(reservePayload, async (payload) => {
      const outcome = await reserveFor(store, rules, payload);
      const outcomes = payload.replyTo === undefined ? [] : [{ replyTo: payload.replyTo, id: payload.reservationId, outcome }];
      const booked = outcome.status === 'reserved';
      const availability = booked && beginsSoon({ startsAt: payload.asked.reservedStartTime });
      await announce(redis, prefix, { availability, outbox: booked, outcomes }, logger);
      return outcome;
    }),
  };
}
