import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { StandIn } from '../../dev/stand-ins/stand-in.ts';
import { startUserService, type UserServiceControl } from '../../dev/stand-ins/user-service.ts';
import type { CallAnswer } from '../../shared/clients/neighbour.ts';
import { createQuotaClient } from '../../shared/clients/quota-client.ts';
import { createUsageClient } from '../../shared/clients/usage-client.ts';
import { eventually } from '../support/eventually.ts';
import { ENOUGH_MS, metricValue, openCaller, SERVICE_SECRET, type TestCaller } from '../support/neighbours.ts';

const CALLS = 'scheduler_neighbour_call_seconds';
const PATH = '/internal/quotas/user/';

let service: StandIn<UserServiceControl>;
let open: TestCaller[] = [];

beforeEach(async () => {
  service = await startUserService({ port: 0, secret: SERVICE_SECRET });
});

afterEach(async () => {
  for (const caller of open) caller.close();
  open = [];
  await service.close();
});

function callerWith(options: Parameters<typeof openCaller>[2] = {}): TestCaller {
  const caller = openCaller('user', service.url, options);
  open.push(caller);
  return caller;
}

function ask(caller: TestCaller, userId = 'u1', deadlineMs = ENOUGH_MS) {
  return createQuotaClient(caller).fetchQuota(userId, { deadlineMs, traceId: 'trace 1' });
}

function report(caller: TestCaller, allocationId: string): Promise<CallAnswer<unknown>> {
  const body = { userId: 'u1', deviceId: 'd1', cpuCores: 2, memoryGB: 1.5, storageGB: 8, operation: 'increment' } as const;
  return createUsageClient(caller).reportUsage({ allocationId, ...body }, { deadlineMs: ENOUGH_MS });
}

async function failTimes(caller: TestCaller, times: number): Promise<void> {
  service.control.fail({ kind: 'status', status: 500 }, { times });
  for (let call = 0; call < times; call += 1) await ask(caller, `failing ${call}`);
}

describe('a call to a neighbour', () => {
  test('says who we are and which request it belongs to', async () => {
    service.control.setQuota('Ada / Byron?', { limits: { maxDevices: 3 } });
    expect(await ask(callerWith(), 'Ada / Byron?')).toMatchObject({ kind: 'known', quota: { limits: { maxDevices: 3 } } });
    const [call] = service.control.calls.to(PATH);
    expect(call?.path).toBe(`${PATH}Ada%20%2F%20Byron%3F`);
    expect(call?.headers).toMatchObject({
      'x-request-id': 'trace 1',
      traceparent: expect.stringMatching(/^00-/),
      accept: 'application/json',
    });
  });

  test('keeps the path prefix of the base URL', async () => {
    const behind = await startUserService({ port: 0, secret: SERVICE_SECRET, pathPrefix: '/gateway' });
    const caller = openCaller('user', `${behind.url}/`);
    expect(await ask(caller)).toMatchObject({ kind: 'known' });
    caller.close();
    await behind.close();
  });

  test('uses its connection again', async () => {
    const caller = callerWith();
    await ask(caller);
    await service.control.refuse();
    expect(await ask(callerWith({ retries: 0 }))).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('ECONNREFUSED') });
    await service.control.accept();
    expect(await ask(caller)).toMatchObject({ kind: 'known' });
  });

  test('never leaves its path for an id that looks like one', async () => {
    for (const id of ['', '.', '..', '\ud800']) expect(await ask(callerWith(), id)).toEqual({ kind: 'none' });
    expect(service.control.calls.count()).toBe(0);
  });

  test('knows that 404 means no quota, without asking twice', async () => {
    service.control.setQuota('u1', 'none');
    expect(await ask(callerWith())).toEqual({ kind: 'none' });
    expect(service.control.calls.count()).toBe(1);
  });

  test('takes another refusal for an outage, as it says nothing about the quota', async () => {
    service.control.fail({ kind: 'status', status: 410 });
    expect(await ask(callerWith())).toEqual({ kind: 'unavailable', reason: 'user-service answered 410', retryAfterMs: undefined });
  });

  test('is not believed with a wrong token', async () => {
    expect(await ask(callerWith({ secret: 'another secret than that of the tests' }))).toMatchObject({
      kind: 'unavailable',
      reason: 'user-service answered 401',
    });
    expect(service.control.calls.count()).toBe(1);
  });

  test.each([
    ['malformed', 'no JSON'],
    ['wrong-shape', 'malformed: status'],
    ['huge', 'too large'],
  ] as const)('counts a %s answer as a failure', async (kind, reason) => {
    service.control.fail({ kind });
    const caller = callerWith();
    expect(await ask(caller)).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining(reason) });
    expect(await metricValue(caller.metrics, CALLS, { neighbour: 'user', outcome: 'failed' })).toBeGreaterThan(0);
  });

  test('does not follow a redirect with our token', async () => {
    service.control.fail({ kind: 'status', status: 302 });
    expect(await ask(callerWith())).toMatchObject({ kind: 'unavailable', reason: 'user-service answered 302' });
  });
});

describe('a failing call', () => {
  test('is repeated until it succeeds', async () => {
    service.control.fail({ kind: 'reset' }, { times: 1 });
    service.control.fail({ kind: 'status', status: 503 }, { times: 2 });
    expect(await ask(callerWith())).toMatchObject({ kind: 'known' });
    expect(service.control.calls.count()).toBe(4);
  });

  test('is repeated no more often than the neighbour allows', async () => {
    service.control.fail({ kind: 'status', status: 500 });
    expect(await ask(callerWith({ retries: 2 }))).toMatchObject({ kind: 'unavailable', reason: 'user-service answered 500' });
    expect(service.control.calls.count()).toBe(3);
  });

  test('waits for as long as it is told to', async () => {
    service.control.fail({ kind: 'status', status: 429, retryAfter: 1 }, { times: 1 });
    expect(await ask(callerWith())).toMatchObject({ kind: 'known' });
    const [first, second] = service.control.calls.to();
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(950);
  });

  test('gives up at once when it is told to wait for an hour, and passes that on', async () => {
    service.control.fail({ kind: 'status', status: 429, retryAfter: 3600 });
    expect(await ask(callerWith())).toEqual({ kind: 'unavailable', reason: 'user-service answered 429', retryAfterMs: 3_600_000 });
    expect(service.control.calls.count()).toBe(1);
  });

  test.each([{ kind: 'hang' }, { kind: 'slow', ms: 60_000 }, { kind: 'drip', everyMs: 20 }] as const)(
    'ends with what the caller has left: $kind',
    async (fault) => {
      service.control.fail(fault);
      const started = performance.now();
      expect(await ask(callerWith({ timeoutMs: 60_000 }), 'u1', 200)).toMatchObject({
        kind: 'unavailable',
        reason: 'no answer of user-service in time',
      });
      const took = performance.now() - started;
      expect(took).toBeGreaterThan(190);
      expect(took).toBeLessThan(20_000);
    },
  );

  test('ends with its own timeout however much the caller has left, repeats included', async () => {
    service.control.fail({ kind: 'status', status: 500 }, { times: 2 });
    service.control.fail({ kind: 'hang' });
    const started = performance.now();
    expect(await ask(callerWith({ timeoutMs: 3_000 }), 'u1', 60_000)).toMatchObject({ kind: 'unavailable' });
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(service.control.calls.count()).toBe(3);
  });

  test('is not begun for a caller without time, and counts for nothing', async () => {
    const caller = callerWith();
    expect(await ask(caller, 'u1', 0)).toMatchObject({ kind: 'unavailable', reason: 'the caller has no time left' });
    expect(service.control.calls.count()).toBe(0);
    expect(await metricValue(caller.metrics, CALLS, { neighbour: 'user', outcome: 'not-asked' })).toBeGreaterThan(0);
  });

  test('does not wait past its time for a place', async () => {
    service.control.fail({ kind: 'hang' });
    const caller = callerWith({ tuning: { maxConcurrent: 1 } });
    const first = ask(caller, 'u1', 300);
    expect(await ask(caller, 'u2', 50)).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('too many calls') });
    expect(await first).toMatchObject({ kind: 'unavailable' });
  });

  test('is a write whose answer was lost: sent again, it counts once', async () => {
    const usage = callerWith();
    service.control.fail({ kind: 'lost-answer' }, { times: 1 });
    expect(await report(usage, 'a1')).toMatchObject({ kind: 'unavailable', asked: true });
    expect(service.control.calls.count('/usage')).toBe(1);
    expect(await report(usage, 'a1')).toMatchObject({ kind: 'ok' });
    expect(service.control.usageOf('u1')).toEqual({ devices: 1, cpuCores: 2, memoryGB: 1.5, storageGB: 8 });
  });
});

describe('the breaker', () => {
  test('stays closed below ten calls, opens with the tenth failure, and then nobody is asked', async () => {
    const caller = callerWith({ retries: 0 });
    await failTimes(caller, 9);
    expect(caller.state()).toBe('closed');
    await failTimes(caller, 1);
    expect(caller.state()).toBe('open');
    expect(await metricValue(caller.metrics, 'scheduler_breaker_open', { neighbour: 'user' })).toBe(1);
    expect(await ask(caller)).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('left alone') });
    expect(service.control.calls.count()).toBe(10);
  });

  test('opens at half of the calls, not below', async () => {
    const caller = callerWith({ retries: 0 });
    for (let call = 0; call < 6; call += 1) await ask(caller, `good ${call}`);
    await failTimes(caller, 5);
    expect(caller.state()).toBe('closed');
    await failTimes(caller, 1);
    expect(caller.state()).toBe('open');
  });

  test('does not count what callers in a hurry cut short, but what was given its time', async () => {
    const caller = callerWith({ retries: 0, timeoutMs: 1_000 });
    service.control.fail({ kind: 'hang' });
    for (let call = 0; call < 12; call += 1) expect(await ask(caller, `hasty ${call}`, 50)).toMatchObject({ kind: 'unavailable' });
    expect(caller.state()).toBe('closed');
    await Promise.all(Array.from({ length: 12 }, (_, call) => ask(caller, `patient ${call}`, 300)));
    expect(caller.state()).toBe('open');
  });

  test('does not count refusals', async () => {
    service.control.setDefaultQuota('none');
    const caller = callerWith();
    for (let call = 0; call < 20; call += 1) expect(await ask(caller, `unknown ${call}`)).toEqual({ kind: 'none' });
    expect(caller.state()).toBe('closed');
  });

  test('lets one probe through after its time and closes when that succeeds', async () => {
    const caller = callerWith({ retries: 0, tuning: { openMs: 50 } });
    await failTimes(caller, 10);
    await eventually(() => expect(caller.state()).toBe('half-open'));
    expect(await metricValue(caller.metrics, 'scheduler_breaker_open', { neighbour: 'user' })).toBe(0.5);
    service.control.fail({ kind: 'slow', ms: 100 }, { times: 1 });
    const answers = await Promise.all(Array.from({ length: 5 }, (_, caller_) => ask(caller, `probe ${caller_}`)));
    expect(answers.map(({ kind }) => kind).sort()).toEqual(['known', 'unavailable', 'unavailable', 'unavailable', 'unavailable']);
    expect(service.control.calls.count()).toBe(11);
    expect(caller.state()).toBe('closed');
    expect(await metricValue(caller.metrics, 'scheduler_breaker_open', { neighbour: 'user' })).toBe(0);
  });

  test('opens again when the probe fails, which is not repeated', async () => {
    const caller = callerWith({ retries: 3, tuning: { openMs: 1_000, retryBudget: 0 } });
    await failTimes(caller, 10);
    await eventually(() => expect(caller.state()).toBe('half-open'));
    service.control.calls.clear();
    await failTimes(caller, 1);
    expect(caller.state()).toBe('open');
    expect(service.control.calls.count()).toBe(1);
  });

  test('keeps an outage from being multiplied: 500 who ask at once send fewer requests than they are', async () => {
    service.control.fail({ kind: 'status', status: 500 });
    const caller = callerWith();
    const answers = await Promise.all(Array.from({ length: 500 }, (_, user) => ask(caller, `u${user}`)));
    expect(answers.every(({ kind }) => kind === 'unavailable')).toBe(true);
    expect(service.control.calls.count()).toBeLessThan(150);
  });

  test('is not alone in that: without it the budget keeps repeats to a fifth of the calls and a handful', async () => {
    service.control.fail({ kind: 'status', status: 500 });
    const caller = callerWith({ tuning: { leastCalls: 1_000_000, maxConcurrent: 200 }, timeoutMs: 25_000 });
    await Promise.all(Array.from({ length: 200 }, (_, user) => ask(caller, `u${user}`, 25_000)));
    expect(service.control.calls.count()).toBeGreaterThan(200);
    expect(service.control.calls.count()).toBeLessThanOrEqual(200 + 20 + 0.2 * 200);
  });

  test('is what keeps it so: without it 200 send four times as many requests as they are', async () => {
    service.control.fail({ kind: 'status', status: 500 });
    const caller = callerWith({ tuning: { leastCalls: 1_000_000, retryBudget: 1_000_000, maxConcurrent: 200 }, timeoutMs: 25_000 });
    await Promise.all(Array.from({ length: 200 }, (_, user) => ask(caller, `u${user}`, 25_000)));
    expect(service.control.calls.count()).toBe(800);
  });

  test('keeps those who wait to repeat from asking a neighbour it has opened for', async () => {
    const caller = callerWith({ tuning: { retryBaseMs: 2_000, retryMaxMs: 2_000, leastCalls: 2 } });
    service.control.fail({ kind: 'status', status: 500 }, { path: 'patient' });
    service.control.fail({ kind: 'malformed' }, { path: 'hasty' });
    const patient = ask(caller, 'patient');
    await service.control.calls.reached(1, 'patient');
    for (let call = 0; call < 4; call += 1) await ask(caller, `hasty ${call}`);
    expect(caller.state()).toBe('open');
    expect(await patient).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('not asked again') });
    expect(service.control.calls.count('patient')).toBe(1);
  });

  test('rejects whoever still asks after it was closed down', async () => {
    const caller = callerWith();
    caller.close();
    expect(await ask(caller)).toMatchObject({ kind: 'unavailable' });
    expect(service.control.calls.count()).toBe(0);
  });
});
