import { randomUUID } from 'node:crypto';
import type { QuotaFact } from '../../shared/allocation/facts.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { announce } from '../../shared/run/announce.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import type { ReservationRecord } from '../../shared/store/reservation-rows.ts';
import { type NewReservation, type ReserveOutcome, reserve } from '../../shared/store/reserve.ts';
import { claimRun, endRun } from '../../shared/store/scheduled-runs.ts';
import type { Store } from '../../shared/store/store.ts';
import type { ReservationParts } from '../../workers/reservations/handlers.ts';
import { type TickResult, tick } from '../../workers/reservations/tick.ts';
import { quotaOf } from './api-bench.ts';

const MINUTE_MS = 60_000;

/** Parts of a reservations worker on a store: everybody may have ten devices and has money, unless `changes` says otherwise. */
export function reservationParts(
  { store, redis, prefix }: { store: Store; redis: RedisClient; prefix: string },
  changes: Partial<ReservationParts> & { readonly quotas?: ReadonlyMap<string, QuotaFact> } = {},
): ReservationParts {
  const { quotas = new Map<string, QuotaFact>(), ...rest } = changes;
  return {
    store,
    redis,
    prefix,
    quotaOf: async (userId) => quotas.get(userId) ?? quotaOf(10),
    balanceOf: async () => ({ kind: 'allowed', status: 'ok', balance: 100 }),
    policy: { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true },
    strategy: () => RESOURCE_BASED,
    ending: { cleaningSeconds: 0 },
    noShowSeconds: 600,
    rules: { gapSeconds: 0, horizonDays: 30 },
    metrics: createMetrics('test'),
    logger: createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent'),
    ...rest,
  };
}

/** One look at the reservations, noted as a run like the worker does. */
export async function runTick(parts: ReservationParts): Promise<TickResult> {
  const tell = () => announce(parts.redis, parts.prefix, { availability: true, outbox: true, outcomes: [] }, parts.logger);
  const result = await tick({ ...parts, job: 'reservations', announce: tell }, new AbortController().signal);
  const claim = { job: 'reservations', holder: randomUUID(), tick: undefined, termMs: 1_000 };
  if (await claimRun(parts.store, claim)) await endRun(parts.store, claim, 1, { result });
  return result;
}

/** Books directly, for a user each. Times are minutes from now, at the full minute. */
export async function bookDirectly(store: Store, wish: Partial<NewReservation> & { readonly inMinutes?: number }): Promise<ReserveOutcome> {
  const { inMinutes = 60, ...rest } = wish;
  return reserve(
    store,
    {
      reservationId: randomUUID(),
      userId: randomUUID(),
      tenantId: null,
      tier: 'standard',
      startsAt: new Date(Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS + inMinutes * MINUTE_MS),
      durationMinutes: 60,
      deviceType: null,
      minCpu: null,
      minMemory: null,
      wantedDeviceId: null,
      remindBeforeMinutes: 15,
      series: null,
      traceId: null,
      ...rest,
    },
    { gapSeconds: 0 },
  );
}

/** Books and fails if there is none. */
export async function booked(store: Store, wish: Parameters<typeof bookDirectly>[1] = {}): Promise<ReservationRecord> {
  const outcome = await bookDirectly(store, wish);
  if (outcome.status === 'refused') throw new Error(`${outcome.code}: ${outcome.reason}`);
  return outcome.reservation;
}

/** Moves all reservations and allocations into the past, as if so many minutes had gone by. */
export async function letPass(store: Store, minutes: number): Promise<void> {
  await store.transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    // One after the other, earliest first: together, back-to-back ones would overlap for a moment.
    const rows = await tx.$queryRaw<{ id: string }[]>`SELECT id FROM reservations ORDER BY starts_at`;
    for (const { id } of rows) {
      await tx.$executeRaw`
        UPDATE reservations SET starts_at = starts_at - make_interval(mins => ${minutes}::int), ends_at = ends_at - make_interval(mins => ${minutes}::int),
          blocked_until = blocked_until - make_interval(mins => ${minutes}::int), remind_at = remind_at - make_interval(mins => ${minutes}::int),
          next_attempt_at = next_attempt_at - make_interval(mins => ${minutes}::int) WHERE id = ${id}::uuid`;
    }
    await tx.$executeRaw`
      UPDATE allocations SET allocated_at = allocated_at - make_interval(mins => ${minutes}::int),
        expires_at = expires_at - make_interval(mins => ${minutes}::int), ended_at = ended_at - make_interval(mins => ${minutes}::int)`;
    await tx.$executeRaw`UPDATE devices SET updated_at = updated_at - make_interval(mins => ${minutes}::int)`;
    await tx.$executeRaw`UPDATE scheduled_runs SET last_result = jsonb_set(last_result, '{upSince}',
      to_jsonb(((last_result ->> 'upSince')::timestamptz - make_interval(mins => ${minutes}::int))::text)) WHERE last_result ? 'upSince'`;
  });
}
