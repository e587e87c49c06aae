import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import type { GatheredRequest } from '../../shared/allocation/facts.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { extensionIdOf } from '../../shared/renewal/plan-extends.ts';
import { RENEWAL_POLICIES, type RenewalPolicy } from '../../shared/renewal/policy.ts';
import { allocationIdOf } from '../../shared/store/commit-grants.ts';
import { expireDue } from '../../shared/store/expire.ts';
import { extendGroup } from '../../shared/store/extend-group.ts';
import { grantGroup } from '../../shared/store/grant-group.ts';
import { releaseGroup } from '../../shared/store/release-group.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { AllocationModel, type ModelRow } from '../support/allocation-model.ts';
import { quotaOf } from '../support/api-bench.ts';
import { dyingStore, isDeath } from '../support/dying-store.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** Small numbers, so that few steps reach every limit. */
const POLICY: RenewalPolicy = { maxCount: 3, maxMinutesEach: 20, maxTotalMinutes: 60, cooldownSeconds: 300, windowMinutes: 15 };
const RULES = { policies: { ...RENEWAL_POLICIES, standard: POLICY }, billingAllowOnError: true };
const ALLOWED = { kind: 'allowed', status: 'active', balance: 1 } as const;
const USERS = ['ann', 'bob'] as const;
const DEVICES = 2;
const REQUESTS = 5;
const ENDING = { cleaningSeconds: 0 };
const OUTAGES = { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true, strategy: RESOURCE_BASED };

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await createTestDatabase();
  store = createStore({
    databaseUrl: database.url,
    poolSize: 4,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 10_000,
    applicationName: 'test',
  });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

/** One thing that happens. Requests and calls are numbers of few, so that repeats are common. */
type Step =
  | { readonly kind: 'allocate'; readonly request: number; readonly minutes: number }
  | {
      readonly kind: 'extend';
      readonly request: number;
      readonly call: number;
      readonly by: number;
      readonly minutes: number;
      readonly old: boolean;
    }
  | { readonly kind: 'extend-by-itself'; readonly request: number }
  | { readonly kind: 'release'; readonly request: number; readonly by: number }
  | { readonly kind: 'expire' }
  | { readonly kind: 'time'; readonly minutes: number };

/** `dies`: in front of which statement the process is killed, if it is; the step is then taken again by another one. */
type Story = readonly { readonly step: Step; readonly dies: number | undefined; readonly twice: boolean }[];

const request = fc.nat(REQUESTS - 1);
const by = fc.constantFrom(0, 0, 0, 0, 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('allocate' as const), request, minutes: fc.constantFrom(10, 15, 30) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('extend' as const),
      request,
      call: fc.nat(3),
      by,
      minutes: fc.constantFrom(1, 5, 10, 20, 21),
      old: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('extend-by-itself' as const), request }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const), request, by }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('expire' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('time' as const), minutes: fc.constantFrom(1, 5, 7, 15) }) },
);
const stories: fc.Arbitrary<Story> = fc.array(
  fc.record({ step, dies: fc.option(fc.integer({ min: 1, max: 7 }), { nil: undefined, freq: 3 }), twice: fc.boolean() }),
  { minLength: 5, maxLength: 40 },
);

/** One run of a story against database and model. */
async function play(story: Story): Promise<void> {
  await store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, extensions CASCADE`);
  const model = new AllocationModel(await addDevices(store, alike(DEVICES)), POLICY);
  const requestIds = Array.from({ length: REQUESTS }, () => randomUUID());
  const owner = (index: number) => USERS[index % USERS.length] ?? '';
  const idOf = (index: number) => allocationIdOf(requestIds[index] ?? '');
  const answers = new Map<number, string>();

  async function allocate(through: Store, { request: index, minutes }: Extract<Step, { kind: 'allocate' }>): Promise<void> {
    const [outcome] = await grantGroup(through, [requestOf(requestIds[index] ?? '', owner(index), minutes)], OUTAGES);
    const before = answers.get(index);
    answers.set(index, JSON.stringify(outcome?.status));
    if (before !== undefined) return expect(JSON.stringify(outcome?.status)).toBe(before);
    if (model.busy.size === DEVICES) return expect(outcome).toMatchObject({ status: 'refused', code: 'NO_DEVICE_AVAILABLE' });
    if (outcome?.status !== 'granted') throw new Error(`a device was free, and ${outcome?.status} was said`);
    const { allocation } = outcome;
    expect(model.busy.has(allocation.deviceId)).toBe(false);
    expect(allocation.fence).toBe(model.grant(allocation.allocationId, owner(index), allocation.deviceId, minutes));
  }

  async function extend(through: Store, said: Extract<Step, { kind: 'extend' }>): Promise<void> {
    const allocationId = idOf(said.request);
    const userId = owner(said.request + said.by);
    const fence = said.old ? (model.allocations.get(allocationId)?.fence ?? 1) - 1 : undefined;
    const call = String(said.call);
    const [result] = await extendGroup(
      through,
      [
        {
          kind: 'asked',
          extensionId: extensionIdOf(call, allocationId),
          allocationId,
          reach: { kind: 'user', userId },
          additionalMinutes: said.minutes,
          fence,
          balance: ALLOWED,
          reason: null,
          by: userId,
        },
      ],
      RULES,
    );
    const heard = result?.status === 'refused' ? result.refusal.code : result?.status;
    expect(heard).toBe(model.extend(allocationId, call, userId, said.minutes, fence));
  }

  async function extendByItself(through: Store, { request: index }: Extract<Step, { kind: 'extend-by-itself' }>): Promise<void> {
    const [result] = await extendGroup(through, [{ kind: 'automatic', allocationId: idOf(index), balance: ALLOWED }], RULES, {
      skip: true,
    });
    expect(result?.status === 'extended' ? result.extension.additionalMinutes : 0).toBe(model.extendByItself(idOf(index)));
  }

  async function release(through: Store, said: Extract<Step, { kind: 'release' }>): Promise<void> {
    const userId = owner(said.request + said.by);
    const named = { allocationId: idOf(said.request), deviceId: undefined, userId, tenantId: null, fence: undefined };
    const [result] = await releaseGroup(through, [{ ...named, endReason: 'released' as const }], ENDING);
    expect(result?.status === 'refused' ? result.code : result?.status).toBe(model.release(named.allocationId, userId));
  }

  async function expire(through: Store): Promise<void> {
    expect((await expireDue(through, 100, ENDING)).ended).toHaveLength(model.expire());
  }

  async function take(through: Store, what: Step): Promise<void> {
    if (what.kind === 'allocate') await allocate(through, what);
    else if (what.kind === 'extend') await extend(through, what);
    else if (what.kind === 'extend-by-itself') await extendByItself(through, what);
    else if (what.kind === 'release') await release(through, what);
    else if (what.kind === 'expire') await expire(through);
    else {
      model.now += what.minutes;
      await pass(what.minutes);
    }
  }

  for (const { step: what, dies, twice } of story) {
    if (dies !== undefined && what.kind !== 'time') {
      expect(await take(dyingStore(store, dies), what).then(() => 'alive', isDeath)).toBe(true);
      expect(await readRows()).toEqual(model.rows());
    }
    await take(store, what);
    if (twice && what.kind !== 'time') await take(store, what);
    expect(await readRows()).toEqual(model.rows());
  }
  await take(store, { kind: 'time', minutes: 60 });
  await expire(store);
  expect(await readRows()).toEqual(model.rows());
  expect(await readInvariants(store)).toEqual([]);
}

function requestOf(requestId: string, userId: string, durationMinutes: number): GatheredRequest {
  const asked = askedAllocation.parse({ durationMinutes, autoExtend: true });
  const request = {
    requestId,
    caller: 'test',
    source: 'client',
    userId,
    tenantId: null,
    tier: 'standard',
    asked,
    traceId: undefined,
  } as const;
  return { request, quota: quotaOf(10), balance: ALLOWED };
}

/** Lets time pass: everything that has happened is so many minutes longer ago. */
async function pass(minutes: number): Promise<void> {
  await store.prisma.$transaction([
    store.prisma
      .$executeRaw`UPDATE allocations SET allocated_at = allocated_at - make_interval(mins => ${minutes}::int), expires_at = expires_at - make_interval(mins => ${minutes}::int),
      ended_at = ended_at - make_interval(mins => ${minutes}::int), last_extended_at = last_extended_at - make_interval(mins => ${minutes}::int)`,
    store.prisma
      .$executeRaw`UPDATE extensions SET old_expires_at = old_expires_at - make_interval(mins => ${minutes}::int), new_expires_at = new_expires_at - make_interval(mins => ${minutes}::int)`,
    store.prisma
      .$executeRaw`UPDATE ledger SET started_at = started_at - make_interval(mins => ${minutes}::int), ended_at = ended_at - make_interval(mins => ${minutes}::int)`,
    store.prisma.$executeRaw`UPDATE devices SET updated_at = updated_at - make_interval(mins => ${minutes}::int)`,
  ]);
}

/** The rows in the words of the model. What was billed counts, in whole minutes. */
async function readRows(): Promise<Record<string, ModelRow>> {
  const rows = await store.prisma.allocation.findMany({ include: { ledgerEntry: true, extensions: true } });
  return Object.fromEntries(
    rows.map((row) => [
      row.id,
      {
        status: row.status,
        deviceId: row.deviceId,
        fence: Number(row.fence),
        duration: row.durationMinutes,
        extensions: row.extensions.length,
        heldMinutes: row.ledgerEntry === null ? null : Math.floor(row.ledgerEntry.durationSeconds / 60),
      },
    ]),
  );
}

test('allocations do what the model does, whatever comes in whichever order, twice or half', async () => {
  const seed = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31);
  process.stdout.write(`allocation-model: seed ${seed} (MODEL_SEED repeats it)\n`);
  await fc.assert(fc.asyncProperty(stories, play), { seed, numRuns: 25 });
  // Long enough to make a counterexample small.
}, 300_000);
