import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { JoinPayload } from '../../queues/jobs/join.ts';
import { TIER_PRIORITY, TIERS, type Tier } from '../../shared/allocation/tier.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { closeRedis, type RedisClient } from '../../shared/run/redis.ts';
import { allocationIdOf } from '../../shared/store/commit-grants.ts';
import { setDeviceStatus } from '../../shared/store/event-effects.ts';
import { changeDevice } from '../../shared/store/fleet.ts';
import { grantGroup } from '../../shared/store/grant-group.ts';
import { leaveQueue } from '../../shared/store/join-queue.ts';
import { releaseGroup } from '../../shared/store/release-group.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { unpark } from '../../shared/store/unpark.ts';
import { askedEntry } from '../../shared/waitlist/asked-entry.ts';
import { joinFor } from '../../workers/waitlist/join.ts';
import { type MatchParts, match } from '../../workers/waitlist/match.ts';
import { tidy } from '../../workers/waitlist/tidy.ts';
import { quotaOf } from '../support/api-bench.ts';
import { dyingStore, isDeath } from '../support/dying-store.ts';
import { addDevices } from '../support/fleet.ts';
import { gathered, requestBy, SOLVENT } from '../support/gathered.ts';
import { readInvariants } from '../support/invariants.ts';
import { openRedis, redisAddress } from '../support/open-redis.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { createTestPrefix } from '../support/redis.ts';
import { type ModelDevice, type ModelEntryRow, type ModelScope, type ModelWish, WaitingModel } from '../support/waiting-model.ts';

/** Three of one tenant, five of none. */
const USERS = ['ann', 'ada', 'art', 'bob', 'cyd', 'dan', 'eve', 'fay'] as const;
const TENANTS: Readonly<Record<string, string>> = { ann: 'acme', ada: 'acme', art: 'acme' };
/** Of each user two, of which one at a time may wait. */
const REQUESTS = 16;
/** What is asked for by who does not wait: the first for any device, and so on. */
const ASKS = [undefined, 'phone', 'phone', 'tablet', undefined] as const;
/** Few, and no two of a size: which one somebody gets is not left to chance. */
const FLEET = [
  { type: 'phone', cpuCores: 2 },
  { type: 'phone', cpuCores: 4 },
  { type: 'phone', cpuCores: 6, tenantId: 'acme' },
  { type: 'tablet', cpuCores: 8 },
] as const;
const POLICY = { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true, strategy: RESOURCE_BASED };

const corner = createTestPrefix();
const logger = createLogger('test', 'silent');
const metrics = createMetrics('test');
let database: TestDatabase;
let store: Store;
let redis: RedisClient;
beforeAll(async () => {
  database = await createTestDatabase();
  redis = await openRedis('cache', redisAddress());
  store = createStore({
    databaseUrl: database.url,
    poolSize: 6,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 10_000,
    applicationName: 'test',
  });
});
afterAll(async () => {
  await store.close();
  await database.drop();
  await corner.clean();
  closeRedis(redis);
});

/** What has happened in all stories together. */
const seen: Record<string, number> = {};

type Step =
  | { readonly kind: 'join'; readonly request: number }
  | { readonly kind: 'cancel'; readonly request: number; readonly by: number }
  | { readonly kind: 'ask'; readonly ask: number }
  | { readonly kind: 'free'; readonly device: number }
  | { readonly kind: 'change'; readonly device: number; readonly to: 'down' | 'up' | 'drain' | 'activate' }
  | { readonly kind: 'quota'; readonly user: number; readonly devices: number }
  | { readonly kind: 'time'; readonly minutes: number }
  | { readonly kind: 'look' };

/** Where the process is killed: in front of which statement of the command, or of the wake-up after it, or between the two. */
type Death = { readonly in: 'command' | 'wake-up'; readonly statement: number } | { readonly in: 'between' };

interface Taken {
  readonly step: Step;
  readonly dies: Death | undefined;
  /** The command comes a second time: after the first, or at the same moment. */
  readonly again: 'no' | 'later' | 'at once';
}

interface Story {
  readonly tiers: readonly Tier[];
  readonly wishes: readonly Pick<ModelWish, 'deviceType' | 'minCpu' | 'maxWaitMinutes'>[];
  readonly steps: readonly Taken[];
}

const request = fc.nat(REQUESTS - 1);
const device = fc.nat(FLEET.length - 1);
const statement = fc.integer({ min: 1, max: 7 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('join' as const), request }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel' as const), request, by: fc.constantFrom(0, 0, 0, 1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('ask' as const), ask: fc.nat(ASKS.length - 1) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('free' as const), device }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      device,
      to: fc.constantFrom('down', 'up', 'up', 'drain', 'activate', 'activate'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('quota' as const), user: fc.nat(USERS.length - 1), devices: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('time' as const), minutes: fc.constantFrom(1, 5, 7, 16) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('look' as const) }) },
);
const death: fc.Arbitrary<Death> = fc.oneof(
  fc.record({ in: fc.constantFrom('command' as const, 'wake-up' as const), statement }),
  fc.record({ in: fc.constant('between' as const) }),
);
const wish = fc.record({
  deviceType: fc.constantFrom(undefined, 'phone' as const, 'tablet' as const),
  minCpu: fc.constantFrom(0, 0, 3, 5),
  maxWaitMinutes: fc.constantFrom(10, 30, 60, 120),
});
const stories: fc.Arbitrary<Story> = fc.record({
  tiers: fc.array(fc.constantFrom(...TIERS), { minLength: REQUESTS, maxLength: REQUESTS }),
  wishes: fc.array(wish, { minLength: REQUESTS, maxLength: REQUESTS }),
  steps: fc.array(
    fc.record({ step, dies: fc.option(death, { nil: undefined, freq: 3 }), again: fc.constantFrom('no', 'no', 'later', 'at once') }),
    { minLength: 10, maxLength: 40, size: 'max' },
  ),
});

/** What a command does: it writes, and then says what has changed, which may get lost. */
interface Command {
  readonly write: (through: Store) => Promise<void>;
  /** The same in the model, once. */
  readonly model: () => void;
  /** Whose room, and which devices, to look at; nothing where nobody is woken up. */
  readonly wakes?: { readonly user?: string | undefined; readonly devices?: readonly string[]; readonly requests?: readonly string[] };
}

/** One run of a story against database and model. */
async function play({ tiers, wishes, steps }: Story): Promise<void> {
  await store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox CASCADE`);
  const holders = new Map<string, string>();
  const model = new WaitingModel(await holdFleet(holders));
  for (const userId of USERS) model.quotas.set(userId, 1);
  const ids = Array.from({ length: REQUESTS }, () => randomUUID());
  const askIds = ASKS.map(() => randomUUID());
  const answers = new Map<number, boolean>();
  const idOf = (index: number) => ids[index] ?? '';
  const ownerOf = (index: number) => USERS[index % USERS.length] ?? '';
  const wishOf = (index: number): ModelWish => {
    const userId = ownerOf(index);
    const asked = wishes[index] ?? { deviceType: undefined, minCpu: 0, maxWaitMinutes: 30 };
    return { userId, tenantId: TENANTS[userId] ?? null, level: TIER_PRIORITY[tiers[index] ?? 'standard'], ...asked };
  };
  const parts = (through: Store): MatchParts => ({
    store: through,
    quotaOf: async (userId) => quotaOf(model.quotas.get(userId) ?? 0),
    balanceOf: async () => SOLVENT,
    policy: () => POLICY,
    announce: async () => undefined,
    metrics,
    logger,
  });
  const serve = async (through: Store, scope: ModelScope, everywhere = false) =>
    void (await match(parts(through), { ...scope, everywhere, most: 50 }));

  function commandOf(taken: Exclude<Step, { kind: 'time' | 'look' }>): Command | undefined {
    switch (taken.kind) {
      case 'join':
        return join(taken.request);
      case 'cancel':
        return cancel(taken.request, ownerOf(taken.request + taken.by));
      case 'ask':
        return ask(taken.ask);
      case 'free':
        return free(model.devices[taken.device]);
      case 'change':
        return change(model.devices[taken.device], taken.to);
      case 'quota': {
        const user = USERS[taken.user] ?? '';
        return { write: async () => undefined, model: () => void model.quotas.set(user, taken.devices), wakes: { user } };
      }
    }
  }

  function join(index: number): Command {
    const requestId = idOf(index);
    const { deviceType, minCpu, maxWaitMinutes, ...who } = wishOf(index);
    const { userId, tenantId } = who;
    const asked = askedEntry.parse({ durationMinutes: 60, deviceType, minCpu, maxWaitMinutes });
    const payload: JoinPayload = { requestId, caller: 'test', userId, tenantId, tier: tiers[index] ?? 'standard', asked };
    const expected = model.join(requestId, wishOf(index));
    const place = { before: 0, after: 0, rank: 0 };
    return {
      write: async (through) => {
        if (place.before === 0) place.before = await clock();
        const outcome = await joinFor(through, payload, async () => undefined);
        if (place.after === 0) place.after = await clock();
        const heard = outcome.status === 'refused' ? outcome.code : outcome.status;
        expect(heard).toBe(expected === 'joins' ? 'waiting' : expected);
        if (expected === 'joins') place.rank = await rankOf(requestId);
      },
      model: () => {
        if (model.join(requestId, wishOf(index)) !== 'joins') return;
        const [least, most] = model.placeOf(wishOf(index), place.before, place.after);
        expect(place.rank).toBeGreaterThanOrEqual(Math.floor(least));
        expect(place.rank).toBeLessThanOrEqual(Math.ceil(most));
        model.enter(requestId, wishOf(index), place.rank);
      },
      wakes: { requests: [requestId] },
    };
  }

  function cancel(index: number, userId: string): Command {
    const requestId = idOf(index);
    const mayBe = model.entries.get(requestId)?.status === 'waiting' && model.entries.get(requestId)?.userId === userId;
    let withdrawn = 0;
    return {
      write: async (through) => {
        if (await leaveQueue(through, requestId, { kind: 'user', userId })) withdrawn += 1;
        expect(withdrawn).toBeLessThanOrEqual(mayBe ? 1 : 0);
      },
      model: () => void model.cancel(requestId, userId),
    };
  }

  function ask(index: number): Command {
    const deviceType = ASKS[index];
    const asking = requestBy(`holder-of-ask-${index}`, deviceType === undefined ? {} : { devicePreferences: { deviceType } });
    const request = { ...asking, requestId: askIds[index] ?? '' };
    const before = answers.get(index);
    let given: string | undefined;
    return {
      write: async (through) => {
        const from = await clock();
        const [outcome] = await grantGroup(through, [gathered(request)], POLICY);
        const may = [model.mayTake(deviceType, from), model.mayTake(deviceType, await clock())];
        const granted = outcome?.status === 'granted';
        // Whose place is in this very moment may be seen or not.
        if (before === undefined && given === undefined) expect(may).toContain(granted);
        else expect(granted).toBe(before ?? true);
        if (before === undefined && granted) given = outcome.allocation.deviceId;
        answers.set(index, granted);
      },
      model: () => {
        holders.set(request.requestId, request.userId);
        const taken = model.devices.find(({ id }) => id === given);
        if (taken === undefined) return;
        expect([taken.holder, taken.running, taken.draining]).toEqual([undefined, true, false]);
        taken.holder = request.requestId;
      },
    };
  }

  function free(given: ModelDevice | undefined): Command | undefined {
    if (given?.holder === undefined) return undefined;
    const { holder } = given;
    const named = { allocationId: allocationIdOf(holder), deviceId: undefined, userId: null, tenantId: null, fence: undefined };
    return {
      write: async (through) => {
        const [result] = await releaseGroup(through, [{ ...named, endReason: 'released' }], { cleaningSeconds: 0 });
        expect(result).toMatchObject({ status: 'released', deviceId: given.id });
      },
      // A release that is repeated after the device was given to somebody else ends nobody.
      model: () => void (given.holder === holder && model.free(given)),
      wakes: { user: model.entries.get(holder)?.userId ?? holders.get(holder), devices: [given.id] },
    };
  }

  function change(given: ModelDevice | undefined, to: Extract<Step, { kind: 'change' }>['to']): Command | undefined {
    if (given === undefined) return undefined;
    const { id } = given;
    if (to === 'drain' || to === 'activate')
      return {
        write: async (through) => void expect(await changeDevice(through, id, to, { kind: 'all' })).toBe('changed'),
        model: () => {
          given.draining = to === 'drain';
        },
        ...(to === 'activate' && { wakes: { devices: [id] } }),
      };
    return {
      write: (through) => through.transaction(async (tx) => void (await setDeviceStatus(tx, id, to === 'up' ? 'running' : 'stopped'))),
      model: () => {
        given.running = to === 'up';
      },
      ...(to === 'up' && { wakes: { devices: [id] } }),
    };
  }

  /** As the capacity signal does: who has room again goes back into the line, then those places are looked at. */
  async function wake({ user, devices = [], requests = [] }: NonNullable<Command['wakes']>): Promise<ModelScope> {
    const back = user === undefined ? [] : await unpark(store, [user], []);
    const known = user === undefined ? [] : model.unpark(user);
    expect(back.toSorted()).toEqual(known.toSorted());
    return { devices, requests: [...requests, ...back] };
  }

  async function obey({ write, model: happen, wakes }: Command, dies: Death | undefined, again: Taken['again']): Promise<void> {
    const twice = again === 'at once' && dies === undefined;
    await Promise.all(twice ? [write(store), write(store)] : [write(store)]);
    happen();
    if (wakes === undefined || dies?.in === 'between') return;
    const scope = await wake(wakes);
    if (dies?.in === 'wake-up') {
      await expectDeath(() => serve(dyingStore(store, dies.statement), scope));
      expect(await readRows()).toEqual(model.rows());
    }
    await Promise.all(twice ? [serve(store, scope), serve(store, scope)] : [serve(store, scope)]);
    model.serve(scope);
  }

  async function look(): Promise<void> {
    await tidy({ store, redis, prefix: corner.prefix, metrics, logger });
    await serve(store, { devices: [], requests: [] }, true);
    model.look();
  }

  for (const { step: taken, dies, again } of steps) {
    if (taken.kind === 'time') {
      model.pass(taken.minutes);
      await pass(taken.minutes);
    } else if (taken.kind === 'look') await look();
    else {
      const command = commandOf(taken);
      if (command === undefined) continue;
      if (dies?.in === 'command' && taken.kind !== 'quota' && !(taken.kind === 'change' && /drain|activate/.test(taken.to))) {
        await expectDeath(() => command.write(dyingStore(store, dies.statement)));
        expect(await readRows()).toEqual(model.rows());
      }
      await obey(command, dies, again);
      expect(await readRows()).toEqual(model.rows());
      const repeated = again === 'later' ? commandOf(taken) : undefined;
      if (repeated !== undefined) await obey(taken.kind === 'free' ? command : repeated, undefined, 'no');
    }
    expect(await readRows()).toEqual(model.rows());
  }
  await look();
  expect(await readRows()).toEqual(model.rows());
  expect(model.overlooked()).toEqual([]);
  expect(model.starved).toEqual([]);
  for (const { told, parked } of Object.values(model.rows()))
    for (const word of parked ? [...told, 'parked'] : told) seen[word] = (seen[word] ?? 0) + 1;
  await giveBackAll();
  expect(await readInvariants(store)).toEqual([]);
}

/** What is to die dies; a look that finds nobody to serve opens no transaction, and has nothing to die in. */
async function expectDeath(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isDeath(error)) throw error;
  }
}

/** The fleet, each device held by somebody who is not in the story. */
async function holdFleet(holders: Map<string, string>): Promise<ModelDevice[]> {
  const deviceIds = await addDevices(store, FLEET);
  const requests = deviceIds.map((deviceId, index) => {
    const tenantId = 'tenantId' in (FLEET[index] ?? {}) ? 'acme' : null;
    return requestBy(`holder-${index}`, { devicePreferences: { deviceId } }, { tenantId });
  });
  const outcomes = await grantGroup(store, requests.map(gathered), POLICY);
  expect(outcomes.map(({ status }) => status)).toEqual(FLEET.map(() => 'granted'));
  for (const { requestId, userId } of requests) holders.set(requestId, userId);
  return FLEET.map(({ type, cpuCores, ...rest }, index) => ({
    id: deviceIds[index] ?? '',
    type,
    tenantId: 'tenantId' in rest ? rest.tenantId : null,
    cores: cpuCores,
    running: true,
    draining: false,
    holder: requests[index]?.requestId,
  }));
}

async function giveBackAll(): Promise<void> {
  const live = await store.prisma.allocation.findMany({ where: { status: 'allocated' }, select: { id: true } });
  const named = { deviceId: undefined, userId: null, tenantId: null, fence: undefined, endReason: 'released' } as const;
  await releaseGroup(
    store,
    live.map(({ id }) => ({ allocationId: id, ...named })),
    { cleaningSeconds: 0 },
  );
}

/** The clock of the database, ms. */
async function clock(): Promise<number> {
  const [row] = await store.prisma.$queryRaw<{ now: number }[]>`SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now`;
  return row?.now ?? Number.NaN;
}

async function rankOf(requestId: string): Promise<number> {
  const { rankAt } = await store.prisma.request.findUniqueOrThrow({ where: { id: requestId } });
  return rankAt?.getTime() ?? Number.NaN;
}

/** Lets time pass: everything that has happened is so many minutes longer ago. */
async function pass(minutes: number): Promise<void> {
  await store.prisma.$executeRaw`
    UPDATE requests SET created_at = created_at - x.by, deadline = deadline - x.by, waiting_since = waiting_since - x.by, decided_at = decided_at - x.by,
      rank_at = rank_at - x.by, parked_at = parked_at - x.by FROM (SELECT make_interval(mins => ${minutes}::int) AS by) x`;
}

/** The rows in the words of the model. */
async function readRows(): Promise<Record<string, ModelEntryRow>> {
  const rows = await store.prisma.$queryRaw<({ id: string } & ModelEntryRow)[]>`
    SELECT r.id::text AS id, r.status, r.parked IS NOT NULL AND r.status = 'waiting' AS parked, a.device_id::text AS "deviceId",
      ARRAY(SELECT substr(topic, 17) FROM outbox WHERE key = r.id::text AND topic LIKE 'scheduler.queue.%' ORDER BY outbox.id) AS told
    FROM requests r LEFT JOIN allocations a ON a.request_id = r.id WHERE r.user_id NOT LIKE 'holder-%'`;
  return Object.fromEntries(rows.map(({ id, ...row }) => [id, row]));
}

test('the waiting queue serves whom the model serves, whatever comes in whichever order, twice or half', async () => {
  const seed = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31);
  process.stdout.write(`waiting-model: seed ${seed} (MODEL_SEED repeats it)\n`);
  await fc.assert(fc.asyncProperty(stories, play), { seed, numRuns: 20 });
  process.stdout.write(`waiting-model: ${JSON.stringify(seen)}\n`);
  // Long enough to make a counterexample small.
}, 300_000);
