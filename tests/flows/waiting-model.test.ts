import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { JoinPayload } from '../../queues/jobs/join.ts';
import { TIER_PRIORITY } from '../../shared/allocation/tier.ts';
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
import {
  ASKS,
  type Death,
  FLEET,
  REQUESTS,
  type Taken,
  TENANTS,
  USERS,
  type WaitingStep,
  type WaitingStory,
  waitingStories,
} from '../support/waiting-stories.ts';

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

/** What a command does: it writes, and then says what has changed, which may get lost. */
interface Command {
  readonly write: (through: Store) => Promise<void>;
  /** The same in the model, once. */
  readonly model: () => void;
  /** Whose room, and which devices, to look at; nothing where nobody is woken up. */
  readonly wakes?: { readonly user?: string | undefined; readonly devices?: readonly string[]; readonly requests?: readonly string[] };
}

/** One run of a story against database and model. */
async function play({ tiers, wishes, steps }: WaitingStory): Promise<void> {
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

  function commandOf(taken: Exclude<WaitingStep, { kind: 'time' | 'look' }>): Command | undefined {
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
    // Of two writers at once either may be the one that enters: the place is from between the first to begin and the last to end.
    const place = { before: Number.POSITIVE_INFINITY, after: 0, rank: 0 };
    return {
      write: async (through) => {
        const from = await clock();
        place.before = Math.min(place.before, from);
        const outcome = await joinFor(through, payload, async () => undefined);
        const to = await clock();
        place.after = Math.max(place.after, to);
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
    let earliest = Number.POSITIVE_INFINITY;
    return {
      write: async (through) => {
        const from = await clock();
        // Of two writers at once the one that began later may be told what the other was.
        earliest = Math.min(earliest, from);
        const [outcome] = await grantGroup(through, [gathered(request)], POLICY);
        const may = [model.mayTake(deviceType, earliest), model.mayTake(deviceType, await clock())];
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

  function change(given: ModelDevice | undefined, to: Extract<WaitingStep, { kind: 'change' }>['to']): Command | undefined {
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
  await fc.assert(fc.asyncProperty(waitingStories, play), { seed, numRuns: 20 });
  process.stdout.write(`waiting-model: ${JSON.stringify(seen)}\n`);
  // Long enough to make a counterexample small.
}, 300_000);
