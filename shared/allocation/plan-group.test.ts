import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { NO_USE } from '../quota/limits.ts';
import type { AskedAllocation } from './asked.ts';
import type { BalanceFact, ExistingRequest, GatheredRequest, QuotaFact, UserFacts } from './facts.ts';
import { type Decision, type GroupFacts, type LockedDevice, planGroup } from './plan-group.ts';

const now = new Date('2026-01-01T00:00:00Z');
const policy = { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true };
const paid: BalanceFact = { kind: 'allowed', status: 'active', balance: 1 };
const asked: AskedAllocation = { durationMinutes: 60, queueIfBusy: false, maxWaitMinutes: 30, autoExtend: false };

function quota(limits: Record<string, number>): QuotaFact {
  return { kind: 'known', stale: false, quota: { status: 'active', limits, usage: null, validFrom: null, validUntil: null } } as QuotaFact;
}

function request(
  requestId: string,
  changes: { userId?: string; asked?: Partial<AskedAllocation>; tenantId?: string } & Partial<
    Pick<GatheredRequest, 'quota' | 'balance'>
  > = {},
): GatheredRequest {
  return {
    request: {
      requestId,
      caller: 'c',
      source: 'http',
      userId: changes.userId ?? requestId,
      tenantId: changes.tenantId ?? null,
      tier: 'standard',
      traceId: undefined,
      asked: { ...asked, ...changes.asked },
    },
    quota: changes.quota ?? quota({}),
    balance: changes.balance ?? paid,
  };
}

function device(id: string, changes: Partial<LockedDevice> = {}): LockedDevice {
  return {
    id,
    name: id,
    status: 'running',
    fence: 0,
    cpuCores: 4,
    memoryMB: 4096,
    storageMB: 4096,
    resourceScore: 1,
    ...changes,
  };
}

function facts(changes: Partial<GroupFacts> = {}): GroupFacts {
  return {
    now,
    existing: new Map(),
    users: new Map(),
    tenantsWithDevices: new Set(),
    reservationsAhead: false,
    somebodyWaits: false,
    ...changes,
  };
}

const user = (changes: Partial<UserFacts>): UserFacts => ({
  state: 'active',
  inArrears: false,
  lastKnownLimits: null,
  use: NO_USE,
  lastDeviceId: null,
  ...changes,
});
const existing = (changes: Partial<ExistingRequest>): ExistingRequest => ({
  status: 'pending',
  code: null,
  details: null,
  deadline: null,
  ...changes,
});

/** Plays the loop of a group against a pool that is handed out in order. */
function play(group: GatheredRequest[], given: GroupFacts, pool: LockedDevice[]): Map<string, Decision> {
  const plan = planGroup(group, given, policy);
  const free = [...pool];
  for (let round = 0; plan.undecided() > 0; round += 1) {
    if (round > group.length) throw new Error('the plan makes no progress');
    for (const wanted of plan.sort()) {
      const devices = free.filter((one) => one.cpuCores <= wanted.requirement.caps.cpuCores).slice(0, wanted.members.length);
      const { unmet, spare } = plan.place(wanted.members, devices);
      for (const given of devices.filter((one) => !spare.includes(one))) free.splice(free.indexOf(given), 1);
      for (const member of unmet)
        plan.settle([member], { freeWithinCaps: 0, existsWithinCaps: true, smallest: { cpuCores: 4, memoryMB: 4096, storageMB: 4096 } });
    }
  }
  return new Map(plan.decisions());
}

const code = (decision: Decision | undefined) => (decision?.kind === 'refused' ? decision.refusal.code : decision?.kind);

describe('a group of requests', () => {
  it('is served in the order it was asked', () => {
    const decisions = play([request('a'), request('b'), request('c')], facts(), [device('1'), device('2')]);
    expect(['a', 'b', 'c'].map((id) => code(decisions.get(id)))).toEqual(['granted', 'granted', 'NO_DEVICE_AVAILABLE']);
  });

  it('gives one free place of a user to one of its requests', () => {
    const one = { userId: 'u', quota: quota({ maxDevices: 1 }) };
    const decisions = play([request('a', one), request('b', one)], facts(), [device('1'), device('2')]);
    expect(['a', 'b'].map((id) => code(decisions.get(id)))).toEqual(['granted', 'QUOTA_EXCEEDED']);
  });

  it('gives the place to the next request of the user when the first finds no device', () => {
    const one = { userId: 'u', quota: quota({ maxDevices: 1 }) };
    const plan = planGroup(
      [request('a', { ...one, asked: { devicePreferences: { deviceType: 'tablet' } } }), request('b', one)],
      facts(),
      policy,
    );
    const [tablets, ...rest] = plan.sort();
    expect(rest).toHaveLength(0);
    plan.settle(tablets?.members ?? [], { freeWithinCaps: 0, existsWithinCaps: false, smallest: null });
    const [phones] = plan.sort();
    plan.place(phones?.members ?? [], [device('1')]);
    expect(code(plan.decisions().get('a'))).toBe('NO_MATCHING_DEVICE');
    expect(code(plan.decisions().get('b'))).toBe('granted');
  });

  it('counts the devices it gives out against the totals of the user', () => {
    const one = { userId: 'u', quota: quota({ totalCpuCores: 7 }) };
    const decisions = play([request('a', one), request('b', one)], facts(), [device('1'), device('2'), device('3', { cpuCores: 3 })]);
    expect(['a', 'b'].map((id) => decisions.get(id))).toMatchObject([{ device: { id: '1' } }, { device: { id: '3' } }]);
  });

  it('never gives a device twice nor a user more than the limit, whatever the mix', () => {
    const shape = fc.record({ user: fc.integer({ min: 0, max: 3 }), minCpu: fc.constantFrom(0, 4, 9), queue: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(shape, { maxLength: 20 }),
        fc.integer({ min: 0, max: 10 }),
        fc.integer({ min: 0, max: 3 }),
        (shapes, free, limit) => {
          const group = shapes.map(({ user: who, minCpu, queue }, index) =>
            request(`r${index}`, {
              userId: `u${who}`,
              quota: quota({ maxDevices: limit }),
              asked: { queueIfBusy: queue, preferredSpecs: { minCpu } },
            }),
          );
          const decisions = play(
            group,
            facts(),
            Array.from({ length: free }, (_, index) => device(`d${index}`)),
          );
          const granted = group.flatMap((item) => {
            const decision = decisions.get(item.request.requestId);
            return decision?.kind === 'granted' ? [{ device: decision.device.id, user: item.request.userId }] : [];
          });
          expect(decisions.size).toBe(group.length);
          expect(new Set(granted.map((grant) => grant.device)).size).toBe(granted.length);
          for (const grants of Map.groupBy(granted, (grant) => grant.user).values()) expect(grants.length).toBeLessThanOrEqual(limit);
        },
      ),
    );
  });
});

describe('one request', () => {
  it.each<[string, Partial<UserFacts>, string]>([
    ['a deleted user', { state: 'deleted' }, 'USER_DELETED'],
    ['a suspended user', { state: 'suspended' }, 'USER_SUSPENDED'],
    ['a user in arrears', { inArrears: true }, 'ACCOUNT_IN_ARREARS'],
  ])('of %s is refused', (_name, changes, expected) => {
    const decisions = play([request('a')], facts({ users: new Map([['a', user(changes)]]) }), [device('1')]);
    expect(code(decisions.get('a'))).toBe(expected);
  });

  it('is refused without balance, and on an outage of billing unless that is allowed', () => {
    const poor = request('a', { balance: { kind: 'refused', status: 'frozen', balance: '0' } });
    expect(code(play([poor], facts(), [device('1')]).get('a'))).toBe('INSUFFICIENT_BALANCE');
    const away = request('a', { balance: { kind: 'unavailable', reason: 'down' } });
    expect(play([away], facts(), [device('1')]).get('a')).toMatchObject({ kind: 'granted', balanceUnchecked: true });
    const strict = planGroup([away], facts(), { ...policy, billingAllowOnError: false });
    strict.sort();
    expect(code(strict.decisions().get('a'))).toBe('BILLING_UNAVAILABLE');
  });

  it('is settled when it was decided before, and timed out after its deadline', () => {
    const given = facts({
      somebodyWaits: true,
      existing: new Map([
        ['a', existing({ status: 'granted' })],
        ['b', existing({ deadline: now })],
        ['c', existing({ status: 'waiting', deadline: new Date(now.getTime() + 1) })],
      ]),
    });
    const decisions = play([request('a'), request('b'), request('c')], given, [device('1')]);
    expect(['a', 'b', 'c'].map((id) => code(decisions.get(id)))).toEqual(['settled', 'timed-out', 'settled']);
  });

  it('that waits is decided for the device it was matched to, and passed over while its user may not have one', () => {
    const given = facts({ existing: new Map(['a', 'b', 'c', 'd'].map((id) => [id, existing({ status: 'waiting' })])) });
    const one = quota({ maxDevices: 1 });
    const broke = { kind: 'refused', status: 'insufficient', balance: 0 } as const;
    const group = [
      request('a', { quota: one }),
      request('b', { userId: 'a', quota: one }),
      request('c', { balance: broke }),
      request('d', { quota: { kind: 'none' } }),
    ];
    const matched = new Map(group.map(({ request: { requestId } }) => [requestId, `for ${requestId}`]));
    const plan = planGroup(group, given, policy, matched);
    while (plan.undecided() > 0)
      for (const { requirement, members } of plan.sort()) plan.place(members, [device(requirement.deviceId ?? '')]);
    expect(group.map(({ request: { requestId } }) => plan.decisions().get(requestId))).toMatchObject([
      { kind: 'granted', device: { id: 'for a' } },
      { kind: 'waiting', parked: 'QUOTA_USER' },
      { kind: 'waiting', parked: 'BALANCE' },
      { kind: 'waiting', parked: 'QUOTA_USER' },
    ]);
  });

  it('that waits goes on waiting with what its limits leave room for, when the device matched is larger or gone', () => {
    const given = facts({ existing: new Map([['a', existing({ status: 'waiting' })]]) });
    const plan = planGroup([request('a', { quota: quota({ maxCpuCoresPerDevice: 2 }) })], given, policy, new Map([['a', '1']]));
    for (const { members } of plan.sort()) plan.settle(members, { freeWithinCaps: 0, existsWithinCaps: false, smallest: null });
    expect(plan.decisions().get('a')).toMatchObject({ kind: 'waiting', parked: null, caps: { cpuCores: 2 } });
  });

  it('waits when it asked to, is asked again when devices are only being decided on, and learns which limit rules all out', () => {
    const settle = (item: GatheredRequest, shortage: Parameters<ReturnType<typeof planGroup>['settle']>[1]) => {
      const plan = planGroup([item], facts(), policy);
      const member = plan.sort()[0]?.members[0];
      if (member !== undefined) plan.settle([member], shortage);
      return plan.decisions().get('a');
    };
    const smallest = { cpuCores: 4, memoryMB: 4096, storageMB: 4096 };
    expect(code(settle(request('a'), { freeWithinCaps: 1, existsWithinCaps: true, smallest }))).toBe('contended');
    expect(code(settle(request('a', { asked: { queueIfBusy: true } }), { freeWithinCaps: 0, existsWithinCaps: true, smallest }))).toBe(
      'waiting',
    );
    expect(
      settle(request('a', { quota: quota({ maxCpuCoresPerDevice: 2 }) }), { freeWithinCaps: 0, existsWithinCaps: false, smallest }),
    ).toMatchObject({
      refusal: { code: 'QUOTA_EXCEEDED', details: { limit: 'maxCpuCoresPerDevice', max: 2 } },
    });
    expect(settle(request('a'), { freeWithinCaps: 0, existsWithinCaps: false, smallest })).toMatchObject({
      refusal: { code: 'QUOTA_EXCEEDED' },
    });
  });

  it('is asked again only while there is a device left for its user', () => {
    const group = ['a', 'b', 'c', 'd'].map((id, index) => request(id, { userId: index < 2 ? 'same' : id }));
    const plan = planGroup(group, facts(), policy);
    const smallest = { cpuCores: 4, memoryMB: 4096, storageMB: 4096 };
    for (const { members } of plan.sort()) plan.settle(members, { freeWithinCaps: 2, existsWithinCaps: true, smallest });
    expect(group.map(({ request: { requestId } }) => code(plan.decisions().get(requestId)))).toEqual([
      'contended',
      'contended',
      'contended',
      'NO_DEVICE_AVAILABLE',
    ]);
  });

  it('shares a class with requests that want the same, and looks at own devices only where the tenant has some', () => {
    const group = [request('a', { tenantId: 't' }), request('b', { tenantId: 'x' }), request('c', { asked: { durationMinutes: 5 } })];
    expect(planGroup(group, facts(), policy).sort()).toHaveLength(1);
    expect(
      planGroup(group, facts({ tenantsWithDevices: new Set(['t']) }), policy)
        .sort()
        .map((one) => one.requirement.tenantId),
    ).toEqual(['t', null]);
    expect(planGroup(group, facts({ reservationsAhead: true }), policy).sort()).toHaveLength(2);
  });
});

describe('in safe mode', () => {
  const safe = { ...policy, reserveFullTerm: true };
  const balance = (amount: number): BalanceFact => ({ kind: 'allowed', status: 'active', balance: amount });
  const held = (committed: number) =>
    facts({
      users: new Map([['ann', { state: 'active', inArrears: false, lastKnownLimits: null, use: NO_USE, lastDeviceId: null, committed }]]),
    });

  it('the price of a device is capped by what the balance leaves for the term', () => {
    const ask = [request('a', { userId: 'ann', balance: balance(5), asked: { durationMinutes: 30 } })];
    expect(planGroup(ask, held(2), safe).sort()[0]?.requirement.maxCostPerHour).toBeCloseTo(6, 6);
    expect(planGroup(ask, held(2), policy).sort()[0]?.requirement.maxCostPerHour).toBeUndefined();
  });

  it('two requests of one user in a group cannot both spend the same money', () => {
    const plan = planGroup(
      ['a', 'b'].map((id) => request(id, { userId: 'ann', balance: balance(5) })),
      held(0),
      safe,
    );
    const [both] = plan.sort();
    plan.place(both?.members ?? [], [device('d1', { costPerHour: 3 }), device('d2', { costPerHour: 3 })]);
    const [second] = plan.sort();
    expect(second?.requirement.maxCostPerHour).toBeCloseTo(2, 6);
    plan.settle(second?.members ?? [], { freeWithinCaps: 0, existsWithinCaps: false, smallest: device('d2'), cheapest: 3 });
    expect(plan.decisions().get('a')).toMatchObject({ kind: 'granted' });
    expect(plan.decisions().get('b')).toMatchObject({
      kind: 'refused',
      refusal: { code: 'INSUFFICIENT_BALANCE', details: { required: 6, balance: 5 } },
    });
  });

  it('whoever waits and was matched to a device too dear is passed over until the balance may have changed', () => {
    const waiting: ExistingRequest = { status: 'waiting', code: null, details: null, deadline: null };
    const ask = [request('a', { userId: 'ann', balance: balance(1), asked: { queueIfBusy: true } })];
    const plan = planGroup(ask, { ...held(0), existing: new Map([['a', waiting]]) }, safe, new Map([['a', 'd1']]));
    plan.settle(plan.sort()[0]?.members ?? [], { freeWithinCaps: 0, existsWithinCaps: false, smallest: device('d1'), cheapest: 3 });
    expect(plan.decisions().get('a')).toMatchObject({ kind: 'waiting', parked: 'BALANCE' });
  });

  it('a device the balance covers is waited for while it is busy', () => {
    const plan = planGroup([request('a', { balance: balance(5), asked: { queueIfBusy: true } })], facts(), safe);
    plan.settle(plan.sort()[0]?.members ?? [], { freeWithinCaps: 0, existsWithinCaps: true, smallest: device('d1'), cheapest: 3 });
    expect(plan.decisions().get('a')).toMatchObject({ kind: 'waiting', parked: null });
  });
});
