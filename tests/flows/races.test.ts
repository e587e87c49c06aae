import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { GrantedAllocation } from '../../shared/allocation/outcome.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { type AskedExtension, extensionIdOf } from '../../shared/renewal/plan-extends.ts';
import { insertWaiting } from '../../shared/store/begin-waiting.ts';
import { cancelReservation } from '../../shared/store/change-reservation.ts';
import { allocationIdOf } from '../../shared/store/commit-grants.ts';
import { expireDue } from '../../shared/store/expire.ts';
import { extendGroup } from '../../shared/store/extend-group.ts';
import { grantGroup } from '../../shared/store/grant-group.ts';
import { leaveQueue } from '../../shared/store/join-queue.ts';
import { releaseGroup } from '../../shared/store/release-group.ts';
import type { ReservationRecord } from '../../shared/store/reservation-rows.ts';
import { type GatheredStart, startReservation } from '../../shared/store/start-reservation.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { type MatchParts, match } from '../../workers/waitlist/match.ts';
import { quotaOf } from '../support/api-bench.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { gathered, requestBy, SOLVENT } from '../support/gathered.ts';
import { readInvariants } from '../support/invariants.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { contest, playRounds } from '../support/race.ts';
import { booked } from '../support/reservation-bench.ts';
import { RENEWAL } from '../support/wire.ts';

const ROUNDS = 500;
/** Rounds side by side; each has two transactions open. */
const AT_ONCE = 8;
/** Longest time of one test on a busy machine, ms. */
const PATIENCE_MS = 300_000;
const ENDING = { cleaningSeconds: 0 };
const POLICY = { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true, strategy: RESOURCE_BASED };

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await createTestDatabase();
  store = createStore({
    databaseUrl: database.url,
    poolSize: 3 * AT_ONCE,
    acquireTimeoutMs: 20_000,
    statementTimeoutMs: 20_000,
    applicationName: 'test',
  });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});
beforeEach(async () => {
  await store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, reservations CASCADE`);
});

/** A device for each round, held by a user of its own. */
async function holdAll(): Promise<GrantedAllocation[]> {
  await addDevices(store, alike(ROUNDS));
  const requests = Array.from({ length: ROUNDS }, (_, round) => gathered(requestBy(`holder-${round}`, { durationMinutes: 30 })));
  const held: GrantedAllocation[] = [];
  for (let from = 0; from < ROUNDS; from += 50)
    for (const outcome of await grantGroup(store, requests.slice(from, from + 50), POLICY)) {
      if (outcome.status !== 'granted') throw new Error(`a holder got ${outcome.status}`);
      held.push(outcome.allocation);
    }
  return held;
}

/** Moves all that lives into the past, each by a time of its own, so that bills differ. */
const age = () => store.prisma.$executeRaw`
  UPDATE allocations a SET allocated_at = allocated_at - x.n * interval '1 second', expires_at = expires_at - x.n * interval '1 second'
  FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM allocations WHERE status = 'allocated') x WHERE a.id = x.id`;

/** An allocation as it was billed and told. `billed`: the seconds of each of its ledger rows. */
async function taleOf(allocationId: string) {
  const [tale] = await store.prisma.$queryRaw<{ status: string; held: number | null; billed: number[]; told: string[] }[]>`
    SELECT a.status, floor(extract(epoch FROM a.ended_at - a.allocated_at))::int AS held,
      ARRAY(SELECT duration_seconds FROM ledger WHERE allocation_id = a.id) AS billed,
      ARRAY(SELECT topic FROM outbox WHERE key = a.id::text ORDER BY id) AS told
    FROM allocations a WHERE a.id = ${allocationId}::uuid`;
  return tale;
}
const toldOf = async (key: string) =>
  (await store.prisma.outboxEntry.findMany({ where: { key }, orderBy: { id: 'asc' } })).map(({ topic }) => topic);

const GRANTED = ['device.allocated', 'increment'];
const endedBy = (end: 'released' | 'expired') => [...GRANTED, 'device.released', `scheduler.allocation.${end}`, 'decrement'];

/** Both have won often enough to have been a race. */
function expectBoth(wins: Readonly<Record<string, number>>): void {
  process.stdout.write(`races: ${JSON.stringify(wins)}\n`);
  expect(Object.values(wins).reduce((sum, each) => sum + each)).toBe(ROUNDS);
  for (const times of Object.values(wins)) expect(times).toBeGreaterThan(ROUNDS / 50);
}

/** Ends what lives, and compares each bill with what was held. */
async function settleAll(ends: number): Promise<void> {
  await store.prisma.$executeRaw`
    UPDATE allocations SET allocated_at = now() - interval '1 hour' - make_interval(mins => duration_minutes), expires_at = now() - interval '1 hour'
    WHERE status = 'allocated'`;
  while ((await expireDue(store, ROUNDS, ENDING)).ended.length > 0);
  const bills = await store.prisma.$queryRaw`
    SELECT count(*)::int AS ends, count(*) FILTER (WHERE l.duration_seconds = floor(extract(epoch FROM a.ended_at - a.allocated_at)))::int AS right
    FROM allocations a LEFT JOIN ledger l ON l.allocation_id = a.id`;
  expect(bills).toEqual([{ ends, right: ends }]);
  expect(await readInvariants(store)).toEqual([]);
}

describe(`in ${ROUNDS} rounds at the same instant, one wins:`, () => {
  test(
    'of two releases by different callers one ends the allocation, and both are told the same',
    async () => {
      const held = await holdAll();
      await age();
      const wins = { holder: 0, service: 0 };
      await playRounds(ROUNDS, AT_ONCE, async (round) => {
        const { allocationId, deviceId, userId } = held[round] ?? fail();
        const release =
          (named: { allocationId: string | undefined; deviceId: string | undefined; userId: string | null }) => (through: Store) =>
            releaseGroup(through, [{ ...named, releaseId: randomUUID(), tenantId: null, fence: undefined, endReason: 'released' }], ENDING);
        const [[holder], [service]] = await contest(
          store,
          round,
          release({ allocationId, deviceId: undefined, userId }),
          release({ allocationId: undefined, deviceId, userId: null }),
        );
        if (holder?.status !== 'released' || service?.status !== 'released') throw new Error(`round ${round}: a release was refused`);
        expect({ ...holder, endedHere: 0 }).toEqual({ ...service, endedHere: 0 });
        expect(holder.endedHere).not.toBe(service.endedHere);
        wins[holder.endedHere ? 'holder' : 'service'] += 1;
        const { durationSeconds: seconds } = holder;
        expect(await taleOf(allocationId)).toEqual({ status: 'released', held: seconds, billed: [seconds], told: endedBy('released') });
      });
      expectBoth(wins);
      await settleAll(ROUNDS);
    },
    PATIENCE_MS,
  );

  test(
    'an allocation is extended or runs out, and is billed for the one or the other',
    async () => {
      const held = await holdAll();
      const heard: string[] = [];
      await playRounds(ROUNDS, AT_ONCE, async (round) => {
        const { allocationId } = held[round] ?? fail();
        // From "over a moment ago" to "over in a moment", however long a moment is on this machine.
        await endsIn(allocationId, 2 ** (round % 12) - 2);
        const [[result]] = await contest(
          store,
          round,
          (through) => extendGroup(through, [extension(allocationId)], RENEWAL),
          (through) => expireDue(through, 10, ENDING),
        );
        heard[round] = result?.status === 'refused' ? result.refusal.code : (result?.status ?? 'nothing');
      });
      while ((await expireDue(store, ROUNDS, ENDING)).ended.length > 0);
      for (const [round, { allocationId }] of held.entries()) {
        const extended = { status: 'allocated', held: null, billed: [], told: [...GRANTED, 'scheduler.allocation.extended'] };
        const expired = { status: 'expired', held: 1_800, billed: [1_800], told: endedBy('expired') };
        expect(await taleOf(allocationId)).toEqual(heard[round] === 'extended' ? extended : expired);
      }
      const extended = heard.filter((each) => each === 'extended').length;
      expectBoth({ extended, expired: heard.filter((each) => each === 'ALLOCATION_ENDED').length });
      await letDayPass();
      while ((await expireDue(store, ROUNDS, ENDING)).ended.length > 0);
      expect(await store.prisma.ledgerEntry.count({ where: { durationSeconds: 2_400 } })).toBe(extended);
      expect(await store.prisma.ledgerEntry.count()).toBe(ROUNDS);
      expect(await readInvariants(store)).toEqual([]);
    },
    PATIENCE_MS,
  );

  test(
    'of the grant of a freed device and the cancellation by who waits for it the database picks one',
    async () => {
      const devices = await addDevices(store, alike(ROUNDS));
      const waiting = devices.map((deviceId, round) =>
        requestBy(`waiter-${round}`, { durationMinutes: 30, devicePreferences: { deviceId } }),
      );
      await playRounds(ROUNDS, AT_ONCE, async (round) => {
        await store.transaction((tx) => insertWaiting(tx, waiting[round] ?? fail()));
      });
      const wins = { granted: 0, cancelled: 0 };
      await playRounds(ROUNDS, AT_ONCE, async (round) => {
        const { requestId, userId } = waiting[round] ?? fail();
        const scope = { devices: [devices[round] ?? ''], requests: [], everywhere: false, most: 1 };
        const [{ fulfilled }, left] = await contest(
          store,
          round,
          (through) => match(matchParts(through), scope),
          (through) => leaveQueue(through, requestId, { kind: 'user', userId }),
        );
        const winner = left ? 'cancelled' : 'granted';
        wins[winner] += 1;
        expect(fulfilled).toHaveLength(left ? 0 : 1);
        expect((await store.prisma.request.findUniqueOrThrow({ where: { id: requestId } })).status).toBe(winner);
        expect(await toldOf(requestId)).toEqual([left ? 'scheduler.queue.cancelled' : 'scheduler.queue.fulfilled']);
        const grant = { status: 'allocated', held: null, billed: [], told: GRANTED };
        expect(await taleOf(allocationIdOf(requestId))).toEqual(left ? undefined : grant);
      });
      expectBoth(wins);
      await settleAll(wins.granted);
    },
    PATIENCE_MS,
  );

  test(
    'the lease before ends before a reservation begins on its device, whoever of sweep and start ends it',
    async () => {
      const held = await holdAll();
      const reservations: ReservationRecord[] = [];
      await playRounds(ROUNDS, AT_ONCE, async (round) => {
        const { deviceId, expiresAt } = held[round] ?? fail();
        reservations[round] = await booked(store, { userId: `next-${round}`, wantedDeviceId: deviceId, startsAt: new Date(expiresAt) });
      });
      const swept = new Set<string>();
      const begun: string[] = [];
      // Few at once: a sweep takes what is due, and must not take it all from the rounds beside it.
      await playRounds(ROUNDS, 4, async (round) => {
        await becomesDue(held[round]?.deviceId ?? '');
        const [{ ended }, outcome] = await contest(
          store,
          round,
          (through) => expireDue(through, 1, ENDING),
          (through) => startReservation(through, toStart(reservations[round] ?? fail()), startPolicy()),
        );
        for (const { allocationId } of ended) swept.add(allocationId);
        if (outcome.kind !== 'started') throw new Error(`round ${round}: the reservation is ${outcome.kind}`);
        begun[round] = outcome.allocationId;
      });
      await playRounds(ROUNDS, AT_ONCE, async (round) => {
        const { allocationId, deviceId } = held[round] ?? fail();
        expect(await taleOf(allocationId)).toEqual({ status: 'expired', held: 1_800, billed: [1_800], told: endedBy('expired') });
        expect(await taleOf(begun[round] ?? '')).toEqual({ status: 'allocated', held: null, billed: [], told: GRANTED });
        const told = ['scheduler.reservation.created', 'scheduler.reservation.executed'];
        expect(await toldOf(reservations[round]?.reservationId ?? '')).toEqual(told);
        const leases = await store.prisma.allocation.findMany({ where: { deviceId }, orderBy: { fence: 'asc' } });
        expect(leases.map(({ id }) => id)).toEqual([allocationId, begun[round]]);
        expect(leases[0]?.endedAt).toEqual(leases[0]?.expiresAt);
        expect(leases[1]?.allocatedAt.getTime()).toBeGreaterThanOrEqual(leases[0]?.expiresAt.getTime() ?? Infinity);
      });
      expectBoth({ sweep: swept.size, start: ROUNDS - swept.size });
      await settleReservations();
    },
    PATIENCE_MS,
  );

  test(
    'a reservation begins or is cancelled, and whoever came too late is told',
    async () => {
      const devices = await addDevices(store, alike(ROUNDS));
      const reservations: ReservationRecord[] = [];
      await playRounds(ROUNDS, AT_ONCE, async (round) => {
        reservations[round] = await booked(store, { userId: `user-${round}`, wantedDeviceId: devices[round] ?? '' });
      });
      const wins = { started: 0, cancelled: 0 };
      await playRounds(ROUNDS, AT_ONCE, async (round) => {
        const reservation = reservations[round] ?? fail();
        const { reservationId } = reservation;
        await becomesDue(devices[round] ?? '');
        const [begun, cancelled] = await contest(
          store,
          round,
          (through) => startReservation(through, toStart(reservation), startPolicy()),
          (through) => cancelReservation(through, reservationId, { kind: 'all' }, 'changed my mind'),
        );
        const started = begun.kind === 'started';
        wins[started ? 'started' : 'cancelled'] += 1;
        expect(begun.kind).toBe(started ? 'started' : 'passed');
        expect(cancelled).toMatchObject(started ? { status: 'refused', code: 'STATE_CONFLICT' } : { status: 'reserved' });
        const { status, allocationId } = await store.prisma.reservation.findUniqueOrThrow({ where: { id: reservationId } });
        expect([status, allocationId]).toEqual(begun.kind === 'started' ? ['executing', begun.allocationId] : ['cancelled', null]);
        const told = ['scheduler.reservation.created', `scheduler.reservation.${started ? 'executed' : 'cancelled'}`];
        expect(await toldOf(reservationId)).toEqual(told);
      });
      expectBoth(wins);
      expect(await store.prisma.allocation.count()).toBe(wins.started);
      await settleReservations();
    },
    PATIENCE_MS,
  );
});

function fail(): never {
  throw new Error('there is nothing for this round');
}

function matchParts(through: Store): MatchParts {
  return {
    store: through,
    quotaOf: async () => quotaOf(10),
    balanceOf: async () => SOLVENT,
    policy: () => POLICY,
    announce: async () => undefined,
    metrics: createMetrics('test'),
    logger: createLogger('test', 'silent'),
  };
}

const toStart = (reservation: ReservationRecord): GatheredStart => ({ reservation, quota: quotaOf(10), balance: SOLVENT });
const startPolicy = () => ({ ...POLICY, ending: ENDING, patienceSeconds: 0, upSince: new Date(0) });

/** The time of the reservation of a device comes this very moment, and the lease before it runs out. */
async function becomesDue(deviceId: string): Promise<void> {
  await store.transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await tx.$executeRaw`
      WITH ahead AS (SELECT id, starts_at - date_trunc('milliseconds', now()) AS by FROM reservations WHERE device_id = ${deviceId}::uuid), moved AS (
        UPDATE allocations SET allocated_at = allocated_at - by, expires_at = expires_at - by FROM ahead WHERE device_id = ${deviceId}::uuid)
      UPDATE reservations r SET starts_at = starts_at - by, ends_at = ends_at - by, blocked_until = blocked_until - by, next_attempt_at = now() FROM ahead WHERE r.id = ahead.id`;
    // Held since before the device was: nothing is freed earlier than it was given.
    await tx.$executeRaw`UPDATE devices SET updated_at = now() - interval '1 day' WHERE id = ${deviceId}::uuid`;
  });
}

/** Moves a whole allocation in time, so that it ends so many ms from now. */
const endsIn = (allocationId: string, ms: number) => store.prisma.$executeRaw`
  UPDATE allocations SET allocated_at = allocated_at - x.by, expires_at = expires_at - x.by
  FROM (SELECT expires_at - date_trunc('milliseconds', clock_timestamp()) - ${ms}::float8 * interval '1 millisecond' AS by FROM allocations
    WHERE id = ${allocationId}::uuid) x WHERE id = ${allocationId}::uuid`;

function extension(allocationId: string): AskedExtension {
  const said = { fence: undefined, reason: null, by: 'test', balance: SOLVENT, reach: { kind: 'all' } } as const;
  return { kind: 'asked', extensionId: extensionIdOf(randomUUID(), allocationId), allocationId, additionalMinutes: 10, ...said };
}

/** Moves everything a day into the past. */
async function letDayPass(): Promise<void> {
  await store.transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await tx.$executeRaw`
      UPDATE allocations SET allocated_at = allocated_at - interval '1 day', expires_at = expires_at - interval '1 day', ended_at = ended_at - interval '1 day'`;
    await tx.$executeRaw`UPDATE extensions SET old_expires_at = old_expires_at - interval '1 day', new_expires_at = new_expires_at - interval '1 day'`;
    await tx.$executeRaw`
      UPDATE reservations SET starts_at = starts_at - interval '1 day', ends_at = ends_at - interval '1 day', blocked_until = blocked_until - interval '1 day'`;
  });
}

/** Lets the reservations that run come to their ends, and compares each bill with what was held. */
async function settleReservations(): Promise<void> {
  await letDayPass();
  while ((await expireDue(store, ROUNDS, ENDING)).ended.length > 0);
  const bills = await store.prisma.$queryRaw`
    SELECT count(*) FILTER (WHERE l.duration_seconds IS DISTINCT FROM floor(extract(epoch FROM a.ended_at - a.allocated_at)))::int AS wrong
    FROM allocations a LEFT JOIN ledger l ON l.allocation_id = a.id`;
  expect(bills).toEqual([{ wrong: 0 }]);
  expect(await store.prisma.reservation.count({ where: { status: { notIn: ['completed', 'cancelled'] } } })).toBe(0);
  expect(await readInvariants(store)).toEqual([]);
}
