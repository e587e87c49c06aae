import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { mayBecome, type ReservationStatus } from '../../shared/reservation/reservation.ts';
import { cancelReservation, changeReservation } from '../../shared/store/change-reservation.ts';
import { expireDue } from '../../shared/store/expire.ts';
import type { ReserveOutcome } from '../../shared/store/reserve.ts';
import type { Store } from '../../shared/store/store.ts';
import { type ApiBench, openApiBench } from '../support/api-bench.ts';
import { dyingStore, isDeath } from '../support/dying-store.ts';
import { readInvariants } from '../support/invariants.ts';
import { bookDirectly, letPass, reservationParts, runTick } from '../support/reservation-bench.ts';

let bench: ApiBench;
beforeAll(async () => {
  bench = await openApiBench();
});
afterAll(() => bench.close());

const DEVICES = 2;
const RULES = { gapSeconds: 0 };
const ALL = { kind: 'all' } as const;

/** What somebody may do. `which` names one of the reservations there are. */
type Command =
  | { readonly kind: 'reserve'; readonly user: number; readonly inMinutes: number; readonly minutes: number }
  | { readonly kind: 'cancel' | 'move'; readonly which: number; readonly inMinutes: number }
  | { readonly kind: 'pass'; readonly minutes: number }
  | { readonly kind: 'look' | 'look-twice' | 'expire' | 'break' | 'mend' };

/** `dies`: where the process is killed, if it is; the command is then obeyed by another one. */
interface Step {
  readonly command: Command;
  readonly dies: { readonly statement: number; readonly commits: number } | undefined;
  /** It comes a second time: after the first, or at the same moment. */
  readonly again: 'no' | 'later' | 'at once';
}

const slot = fc.integer({ min: 1, max: 8 }).map((quarter) => quarter * 15);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('reserve' as const), user: fc.nat(3), inMinutes: slot, minutes: fc.constantFrom(15, 30, 60) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('cancel' as const, 'move' as const), which: fc.nat(20), inMinutes: slot }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass' as const), minutes: fc.constantFrom(5, 15, 30, 45) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('look' as const, 'look-twice' as const, 'expire' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('break' as const, 'mend' as const) }) },
);
const dies = fc.option(fc.record({ statement: fc.integer({ min: 1, max: 12 }), commits: fc.constantFrom(0, 0, 1, 2) }), {
  nil: undefined,
  freq: 2,
});
const steps = fc.array(fc.record({ command, dies, again: fc.constantFrom('no', 'no', 'later', 'at once') }), {
  minLength: 5,
  maxLength: 25,
  size: 'max',
});

/** A reservation as it was when it was last looked at. */
interface Modelled {
  status: ReservationStatus;
}

/** What has happened in all sequences together. */
const seen: Record<string, number> = {};

describe('any sequence of commands', () => {
  it('agrees with the calendar of the model, changes states as the diagram says, and breaks no invariant, twice or half', async () => {
    const seed = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31);
    process.stdout.write(`reservation-model: seed ${seed} (MODEL_SEED repeats it)\n`);
    await fc.assert(fc.asyncProperty(steps, play), { seed, numRuns: 15, verbose: 1 });
    process.stdout.write(`reservation-model: ${JSON.stringify(seen)}\n`);
  }, 300_000);
});

async function play(story: readonly Step[]): Promise<void> {
  await bench.store.prisma.$executeRaw`
    TRUNCATE devices, allocations, requests, users, ledger, outbox, reservations, reservation_series, scheduled_runs CASCADE`;
  const devices = await bench.addDevices(DEVICES);
  const model = new Map<string, Modelled>();
  for (const step of story) {
    await obey(step, devices, model);
    await compare(model);
  }
  // What ran out since the last look is ended by the next one.
  await sweep('look-twice');
  await compare(model);
  for (const { status } of model.values()) seen[status] = (seen[status] ?? 0) + 1;
  expect(await readInvariants(bench.store)).toEqual([]);
}

async function obey({ command: asked, dies: death, again }: Step, devices: readonly string[], model: Map<string, Modelled>): Promise<void> {
  switch (asked.kind) {
    case 'reserve':
    case 'cancel':
    case 'move': {
      const call = await callOf(asked, model);
      if (call === undefined) return;
      if (death !== undefined) await dieIn(call, death.statement);
      await makeTwice(call, again);
      if (asked.kind === 'reserve' && call.expected === 'reserved') model.set(call.reservationId, { status: 'confirmed' });
      return;
    }
    case 'pass':
      return letPass(bench.store, asked.minutes);
    case 'break':
    case 'mend':
      await bench.store.prisma.device.update({
        where: { id: devices[0] ?? '' },
        data: { status: asked.kind === 'break' ? 'stopped' : 'running' },
      });
      return;
    default:
      if (death !== undefined) {
        await sweep(asked.kind, dyingStore(bench.store, death.statement, death.commits)).catch(orDeath);
        await compare(model);
      }
      return sweep(asked.kind);
  }
}

async function sweep(kind: 'look' | 'look-twice' | 'expire', store = bench.store): Promise<void> {
  const tick = () => runTick(reservationParts({ store, redis: bench.redis, prefix: bench.prefix }, { noShowSeconds: 0 }));
  const expire = () => expireDue(store, 100, { cleaningSeconds: 0 });
  // All of them are over before anybody goes on, dead or alive.
  const ends = await Promise.allSettled(kind === 'look' ? [tick()] : kind === 'expire' ? [expire()] : [tick(), tick(), expire()]);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

function orDeath(error: unknown): void {
  if (!isDeath(error)) throw error;
}

/** A call that books, cancels or moves, and what it must be answered with. */
interface Call {
  readonly reservationId: string;
  readonly make: (store: Store) => Promise<ReserveOutcome | undefined>;
  readonly expected: string;
  /** The answer to the same once more. */
  readonly repeated: string;
}

async function callOf(
  asked: Extract<Command, { kind: 'reserve' | 'cancel' | 'move' }>,
  model: ReadonlyMap<string, Modelled>,
): Promise<Call | undefined> {
  const from = (minutes: number) => Math.ceil(Date.now() / 60_000) * 60_000 + minutes * 60_000;
  if (asked.kind === 'reserve') {
    const reservationId = randomUUID();
    const [userId, startsAt] = [`user-${asked.user}`, new Date(from(asked.inMinutes))];
    const make = (store: Store) => bookDirectly(store, { reservationId, userId, startsAt, durationMinutes: asked.minutes });
    const expected = await booking({ reservationId, userId, from: startsAt.getTime(), minutes: asked.minutes });
    return { reservationId, make, expected, repeated: expected };
  }
  const ids = [...model.keys()];
  const reservationId = ids[asked.which % Math.max(1, ids.length)];
  if (reservationId === undefined) return undefined;
  const open = model.get(reservationId)?.status === 'confirmed';
  if (asked.kind === 'cancel') {
    const make = (store: Store) => cancelReservation(store, reservationId, ALL, null);
    return { reservationId, make, expected: open ? 'reserved' : 'STATE_CONFLICT', repeated: 'STATE_CONFLICT' };
  }
  const row = await bench.store.prisma.reservation.findUniqueOrThrow({ where: { id: reservationId } });
  const minutes = (row.endsAt.getTime() - row.startsAt.getTime()) / 60_000;
  const reservedStartTime = new Date(from(asked.inMinutes));
  const make = (store: Store) => changeReservation(store, reservationId, ALL, { reservedStartTime }, RULES);
  const moved = await booking({ reservationId, userId: row.userId, from: reservedStartTime.getTime(), minutes });
  const expected = open ? moved : 'STATE_CONFLICT';
  return { reservationId, make, expected, repeated: expected };
}

/** What the calendar of the model says to this time: there is a device for it, or what is in the way. */
async function booking(wish: { reservationId: string; userId: string; from: number; minutes: number }): Promise<string> {
  const open = await bench.store.prisma.reservation.findMany({
    where: { status: { in: ['pending', 'confirmed', 'executing'] }, id: { not: wish.reservationId } },
  });
  const running = await bench.store.prisma.device.findMany({ where: { status: 'running', draining: false } });
  const inTheWay = open.filter(
    ({ startsAt, endsAt }) => startsAt.getTime() < wish.from + wish.minutes * 60_000 && endsAt.getTime() > wish.from,
  );
  if (inTheWay.some(({ userId }) => userId === wish.userId)) return 'RESERVATION_CONFLICT';
  return running.some(({ id }) => !inTheWay.some(({ deviceId }) => deviceId === id)) ? 'reserved' : 'NO_CAPACITY';
}

/** Killed before the commit: nothing has happened, and nothing was said. */
async function dieIn({ make }: Call, statement: number): Promise<void> {
  const before = await calendar();
  expect(await make(dyingStore(bench.store, statement)).then(() => 'alive', orDeath)).toBeUndefined();
  expect(await calendar()).toEqual(before);
}

const calendar = async () => ({
  rows: await bench.store.prisma.reservation.findMany({ orderBy: { id: 'asc' } }),
  told: await bench.store.prisma.outboxEntry.count(),
});

/** Makes a call, once or twice. A repeat is answered as its kind is, and changes nothing; of two at once either is the repeat. */
async function makeTwice({ make, expected, repeated }: Call, again: Step['again']): Promise<void> {
  const heard = async () => {
    const outcome = await make(bench.store);
    return outcome?.status === 'refused' ? outcome.code : outcome?.status;
  };
  if (again === 'at once') {
    expect((await Promise.all([heard(), heard()])).toSorted()).toEqual([expected, repeated].toSorted());
    return;
  }
  expect(await heard()).toBe(expected);
  if (again === 'later') expect(await heard()).toBe(repeated);
}

/** Every change since the last look is one the diagram knows, step by step; and nothing overlaps. */
async function compare(model: Map<string, Modelled>): Promise<void> {
  const rows = await bench.store.prisma.reservation.findMany();
  for (const { id, status } of rows) {
    const known = model.get(id);
    if (known === undefined) throw new Error(`reservation ${id} is not in the model`);
    const now = status as ReservationStatus;
    // One command may take it from confirmed over executing to its end.
    const reachable =
      known.status === now || mayBecome(known.status, now) || (mayBecome(known.status, 'executing') && mayBecome('executing', now));
    expect([known.status, now, reachable]).toEqual([known.status, now, true]);
    known.status = now;
  }
  const [wrong] = await bench.store.prisma.$queryRaw<{ overlaps: number; orphans: number; into: number }[]>`
    SELECT (SELECT count(*)::int FROM reservations a JOIN reservations b ON a.device_id = b.device_id AND a.id < b.id
        AND tstzrange(a.starts_at, a.blocked_until) && tstzrange(b.starts_at, b.blocked_until)
        WHERE a.status IN ('pending', 'confirmed', 'executing') AND b.status IN ('pending', 'confirmed', 'executing')) AS overlaps,
      (SELECT count(*)::int FROM reservations r LEFT JOIN allocations a ON a.id = r.allocation_id
        WHERE (r.status = 'executing') <> coalesce(a.status = 'allocated', false) AND r.status IN ('executing', 'completed')) AS orphans,
      (SELECT count(*)::int FROM reservations r JOIN allocations a ON a.device_id = r.device_id AND a.status = 'allocated' AND a.id IS DISTINCT FROM r.allocation_id
        WHERE r.status IN ('pending', 'confirmed') AND a.expires_at > r.starts_at AND r.ends_at > now()) AS into`;
  expect(wrong).toEqual({ overlaps: 0, orphans: 0, into: 0 });
}
