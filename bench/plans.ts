import { randomUUID } from 'node:crypto';
import { explaining, type StatementPlan } from '../dev/explain.ts';
import { NO_CAPS } from '../shared/placement/requirement.ts';
import { countAllocations, type HistoryFilter, listAllocations } from '../shared/store/allocation-history.ts';
import { listAvailable } from '../shared/store/available.ts';
import { type Booking, lockBookable, readCapacity } from '../shared/store/bookable-devices.ts';
import { readDueForExtension } from '../shared/store/due-for-extension.ts';
import { lockDue } from '../shared/store/expire.ts';
import { tellExpiringSoon } from '../shared/store/expiring-soon.ts';
import { readExtendFacts } from '../shared/store/extend-facts.ts';
import { noteListening, reclaimSilent } from '../shared/store/heartbeat.ts';
import type { Reach } from '../shared/store/reach.ts';
import { conflictsOf, countReservations, listReservations } from '../shared/store/read-reservations.ts';
import { createStore, type Store } from '../shared/store/store.ts';
import { dueReservations, endNoShows, expireUnbegun, REMIND } from '../shared/store/sweep-reservations.ts';
import { fillBookings } from './fill-bookings.ts';
import { fillHistory } from './fill-history.ts';
import { openPlace } from './place.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { spreadOf } from './spread.ts';

const ROWS = 1_000_000;
const QUICK_ROWS = 100_000;
const FILL_MS = 20 * 60_000;
const PAGE = 20;
const DAY_MS = 86_400_000;
/** Tables that grow with use: none of them is read from end to end. */
const LARGE = new Set(['allocations', 'devices', 'reservations', 'extensions', 'ledger', 'requests']);

const ALL: Reach = { kind: 'all' };
const ADMIN: Reach = { kind: 'tenant', tenantId: 'tenant-7', userId: 'user-5' };
const FIRST = { after: undefined };

/** A question of the product: what is asked, and the index that has to answer it. */
type Question = readonly [name: string, index: string, ask: (store: Store) => Promise<unknown>];

const history = (filter: HistoryFilter, reach: Reach) => async (store: Store) => {
  await listAllocations(store, filter, reach, PAGE, undefined);
  await countAllocations(store, filter, reach);
};

const page = (filter: HistoryFilter, reach: Reach) => (store: Store) => listAllocations(store, filter, reach, PAGE, undefined);

/** A device, a user and a day of the rows that were made. */
interface Sample {
  readonly deviceId: string;
  readonly allocationIds: readonly string[];
  readonly from: Date;
  readonly to: Date;
}

function questionsOf({ deviceId, allocationIds, from, to }: Sample): readonly Question[] {
  const unseen = { afterSeconds: 600, upSince: new Date(0), ending: { cleaningSeconds: 0 }, onEnded: () => undefined };
  const named = allocationIds.map((allocationId) => ({ allocationId, extensionId: allocationId }));
  return [
    ['allocations: active', 'allocations_history', page({ status: 'allocated' }, ALL)],
    ['allocations: everybody', 'allocations_history', page({}, ALL)],
    ['allocations: a day, and how many', 'allocations_history', history({ from, to }, ALL)],
    ['allocations: a user, and how many', 'allocations_history_of_user', history({ userId: 'user-5' }, ALL)],
    ['allocations: a device, and how many', 'allocations_fence_once', history({ deviceId }, ALL)],
    ['allocations: a tenant and its admin', 'allocations_history_of_tenant', page({}, ADMIN)],
    ['allocations: a day of a tenant, and how many', 'allocations_history_of_tenant', history({ from, to }, ADMIN)],
    ['allocations: due', 'allocations_due', (store) => lockDue(store.prisma, 500)],
    ['allocations: ending soon', 'allocations_due', (store) => tellExpiringSoon(store, 15, 100)],
    ['allocations: to be extended', 'allocations_auto_extend', (store) => readDueForExtension(store, 3_600, undefined, 100)],
    ['allocations: fallen silent', 'allocations_heartbeat_check', (store) => reclaimSilent(store, 100, 10, { cleaningSeconds: 0 })],
    ['extensions: facts of fifty', 'extensions_pkey', (store) => readExtendFacts(store.prisma, named)],
    ['devices: available', 'devices_list_available', (store) => listAvailable(store, { tenants: ALL_TENANTS }, PAGE, undefined)],
    ['reservations: everybody', 'reservations_list', (store) => listReservations(store, {}, ALL, PAGE, FIRST)],
    ['reservations: a tenant', 'reservations_list_of_tenant', (store) => listReservations(store, {}, ADMIN, PAGE, FIRST)],
    ['reservations: a user, and how many', 'reservations_history_of_user', bookingsOfUser],
    ['reservations: conflicts of a user', 'reservations_no_overlap_of_user', (store) => conflictsOf(store, 'user-5', ALL, ...ahead())],
    ['reservations: due', 'reservations_due', (store) => dueReservations(store, 100, undefined)],
    ['reservations: over', 'reservations_due', (store) => expireUnbegun(() => undefined).due(store, 100)],
    ['reservations: to be reminded of', 'reservations_remind', (store) => REMIND.due(store, 100)],
    ['reservations: nobody came', 'reservations_unseen', (store) => endNoShows(unseen).due(store, 100)],
    ['reservations: a device', 'reservations_no_overlap_on_device', (store) => store.transaction((tx) => lockBookable(tx, booking()))],
    ['reservations: free slots', 'reservations_no_overlap_on_device', (store) => store.transaction((tx) => readCapacity(tx, booking()))],
  ];
}

const ALL_TENANTS = { kind: 'all' } as const;
const ahead = (): [Date, Date] => [new Date(), new Date(Date.now() + DAY_MS)];

async function bookingsOfUser(store: Store): Promise<void> {
  await listReservations(store, { userId: 'user-5' }, ALL, PAGE, FIRST);
  await countReservations(store, { userId: 'user-5' }, ALL);
}

function booking(): Booking {
  const startsAt = new Date(Date.now() + DAY_MS);
  const endsAt = new Date(startsAt.getTime() + DAY_MS / 24);
  const requirement = {
    tenantId: null,
    deviceType: null,
    deviceId: null,
    minCpu: 4,
    minMemoryMB: 0,
    minStorageMB: 0,
    durationMinutes: 60,
    caps: NO_CAPS,
  };
  return { reservationId: randomUUID(), requirement, startsAt, endsAt, blockedUntil: endsAt, gapSeconds: 0 };
}

/** Every question the product asks of tables that grow, and how Postgres goes about it. */
export const plans: Scenario = {
  name: 'plans',
  about: `plans over ${ROWS} rows each of allocations, devices, reservations and extensions; fails at a sequential scan or another index`,
  run: async (run) => {
    const rows = run.quick ? QUICK_ROWS : ROWS;
    const place = await openPlace(run.servers, run.say);
    try {
      await place.renew(rows);
      await fillHistory(place.databaseUrl, { allocations: rows, devices: rows }, FILL_MS, run.say);
      run.say('reservations and extensions');
      await fillBookings(place.databaseUrl, { devices: rows, reservations: rows });
      const times = { acquireTimeoutMs: 10_000, statementTimeoutMs: 60_000 };
      const store = createStore({ databaseUrl: place.databaseUrl, poolSize: 1, ...times, applicationName: 'bench' });
      try {
        return await askAll(run, store);
      } finally {
        await store.close();
      }
    } finally {
      await place.close();
    }
  },
};

/** @throws Error naming every question that is not answered by its index alone */
async function askAll(run: BenchRun, store: Store): Promise<Figure[]> {
  await noteListening(store);
  const figures: Figure[] = [];
  const wrong: string[] = [];
  for (const [name, index, ask] of questionsOf(await readSample(store))) {
    const times: number[] = [];
    for (let round = 1; round <= run.rounds; round += 1) {
      const seen = await plansOf(store, ask);
      times.push(Math.max(...seen.map(({ ms }) => ms)));
      const problem = problemOf(seen, index);
      if (problem !== undefined) wrong.push(`${name}: ${problem}`);
      if (round === 1)
        run.say(
          `${name}: ${[...new Set(seen.flatMap(({ indexes }) => indexes))].join(', ')}${problem === undefined ? '' : ` (${problem})`}`,
        );
    }
    figures.push({ measure: name, unit: 'ms', ours: spreadOf(times) });
  }
  if (wrong.length > 0) throw new Error(`not by their index alone:\n  ${[...new Set(wrong)].join('\n  ')}`);
  return figures;
}

function problemOf(seen: readonly StatementPlan[], index: string): string | undefined {
  const scanned = [...new Set(seen.flatMap((plan) => plan.scanned.filter((table) => LARGE.has(table))))];
  if (scanned.length > 0) return `reads all of ${scanned.join(', ')}`;
  return seen.some(({ indexes }) => indexes.includes(index)) ? undefined : `does not use ${index}`;
}

/** As `explained`, inside of transactions as well: what changes rows there changes some twice as many, and no others. */
async function plansOf(store: Store, ask: (store: Store) => Promise<unknown>): Promise<StatementPlan[]> {
  const seen: StatementPlan[] = [];
  const prisma = explaining(store.prisma, seen);
  await ask({ ...store, prisma, transaction: (work) => store.transaction((tx) => work(explaining(tx, seen))) });
  return seen;
}

async function readSample(store: Store): Promise<Sample> {
  const rows = await store.prisma.$queryRaw<{ id: string; device_id: string; allocated_at: Date }[]>`
    SELECT id, device_id, allocated_at FROM allocations WHERE status = 'allocated' AND expires_at > now() ORDER BY id LIMIT 50`;
  const [first] = rows;
  if (first === undefined) throw new Error('nothing is held');
  const to = first.allocated_at;
  return { deviceId: first.device_id, allocationIds: rows.map(({ id }) => id), from: new Date(to.getTime() - DAY_MS / 24), to };
}
