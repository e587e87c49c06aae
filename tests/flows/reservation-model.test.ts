import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { mayBecome, type ReservationStatus } from '../../shared/reservation/reservation.ts';
import { cancelReservation, changeReservation } from '../../shared/store/change-reservation.ts';
import { expireDue } from '../../shared/store/expire.ts';
import { type ApiBench, openApiBench } from '../support/api-bench.ts';
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

const slot = fc.integer({ min: 1, max: 12 }).map((quarter) => quarter * 15);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('reserve' as const), user: fc.nat(3), inMinutes: slot, minutes: fc.constantFrom(15, 30, 60) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('cancel' as const, 'move' as const), which: fc.nat(20), inMinutes: slot }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass' as const), minutes: fc.constantFrom(5, 15, 40) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('look' as const, 'look-twice' as const, 'expire' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('break' as const, 'mend' as const) }) },
);

/** A reservation as it was when it was last looked at. */
interface Modelled {
  status: ReservationStatus;
}

describe('any sequence of commands', () => {
  it('agrees with the calendar of the model, changes states as the diagram says, and breaks no invariant', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 25 }), async (commands) => {
        await bench.store.prisma.$executeRaw`
          TRUNCATE devices, allocations, requests, users, ledger, outbox, reservations, reservation_series, scheduled_runs CASCADE`;
        const devices = await bench.addDevices(DEVICES);
        const model = new Map<string, Modelled>();
        for (const each of commands) {
          await obey(each, devices, model);
          await compare(model);
        }
        // What ran out since the last look is ended by the next one.
        await obey({ kind: 'look-twice' }, devices, model);
        await compare(model);
        expect(await readInvariants(bench.store)).toEqual([]);
      }),
      { numRuns: 15, verbose: 1 },
    );
  }, 120_000);
});

const parts = () => reservationParts(bench, { noShowSeconds: 0 });

async function obey(asked: Command, devices: readonly string[], model: Map<string, Modelled>): Promise<void> {
  const ids = [...model.keys()];
  switch (asked.kind) {
    case 'reserve':
      return reserveOne(asked, model);
    case 'cancel': {
      const id = ids[asked.which % Math.max(1, ids.length)];
      if (id === undefined) return;
      const open = model.get(id)?.status === 'confirmed';
      expect((await cancelReservation(bench.store, id, ALL, null))?.status).toBe(open ? 'reserved' : 'refused');
      return;
    }
    case 'move': {
      const id = ids[asked.which % Math.max(1, ids.length)];
      if (id === undefined) return;
      const reservedStartTime = new Date(Math.ceil(Date.now() / 60_000) * 60_000 + asked.inMinutes * 60_000);
      const outcome = await changeReservation(bench.store, id, ALL, { reservedStartTime }, RULES);
      if (model.get(id)?.status !== 'confirmed') expect(outcome?.status).toBe('refused');
      return;
    }
    case 'pass':
      return letPass(bench.store, asked.minutes);
    case 'look':
      return void (await runTick(parts()));
    case 'look-twice':
      return void (await Promise.all([runTick(parts()), runTick(parts()), expireDue(bench.store, 100, { cleaningSeconds: 0 })]));
    case 'expire':
      return void (await expireDue(bench.store, 100, { cleaningSeconds: 0 }));
    case 'break':
    case 'mend':
      await bench.store.prisma.device.update({
        where: { id: devices[0] ?? '' },
        data: { status: asked.kind === 'break' ? 'stopped' : 'running' },
      });
  }
}

/** Booked if and only if the model's calendar has a device for it. */
async function reserveOne(
  { user, inMinutes, minutes }: Extract<Command, { kind: 'reserve' }>,
  model: Map<string, Modelled>,
): Promise<void> {
  const rows = await bench.store.prisma.reservation.findMany({ where: { status: { in: ['pending', 'confirmed', 'executing'] } } });
  const running = await bench.store.prisma.device.findMany({ where: { status: 'running', draining: false } });
  const from = Math.ceil(Date.now() / 60_000) * 60_000 + inMinutes * 60_000;
  const overlaps = ({ startsAt, endsAt }: { startsAt: Date; endsAt: Date }) =>
    startsAt.getTime() < from + minutes * 60_000 && endsAt.getTime() > from;
  const own = rows.some((row) => row.userId === `user-${user}` && overlaps(row));
  const room = running.some(({ id }) => !rows.some((row) => row.deviceId === id && overlaps(row)));
  const outcome = await bookDirectly(bench.store, { userId: `user-${user}`, inMinutes, durationMinutes: minutes });
  const expected = own ? 'RESERVATION_CONFLICT' : room ? 'reserved' : 'NO_CAPACITY';
  expect(outcome.status === 'refused' ? outcome.code : outcome.status).toBe(expected);
  if (outcome.status === 'reserved') model.set(outcome.reservation.reservationId, { status: 'confirmed' });
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
