import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createServiceToken } from '../../shared/clients/service-token.ts';
import { type StandIns, startStandIns } from './stand-ins.ts';

const SECRET = 'the secret of the stand-ins in tests';
const REPORT = { deviceId: 'd1', cpuCores: 2, memoryGB: 1.5, storageGB: 8, operation: 'increment' };
const NOTICE = { userId: 'ann', type: 'device_released', title: 'Released', message: 'Your device was released.', channels: ['websocket'] };

let standIns: StandIns;
let token: string;

beforeAll(async () => {
  standIns = await startStandIns({ secret: SECRET, defaultQuota: { limits: { maxDevices: 2 } } });
  token = await createServiceToken(SECRET).current();
});

afterAll(async () => {
  await standIns.close();
});

async function send(url: string, body?: unknown, headers: Record<string, string> = {}): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'x-service-token': token, ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

const keyed = (key: string) => ({ 'idempotency-key': key });

describe('the stand-ins', () => {
  test.each(['user', 'billing', 'notification'] as const)('of the %s-service refuses a wrong token', async (name) => {
    const wrong = await createServiceToken('another secret than that of the stand-ins').current();
    for (const bad of ['', 'nonsense', wrong])
      expect(await send(`${standIns[name].url}/x`, undefined, { 'x-service-token': bad })).toMatchObject({ status: 401 });
    expect(await send(`${standIns[name].url}/x`)).toMatchObject({ status: 404 });
  });

  test('add up use by user, each key once, another key again', async () => {
    const url = `${standIns.user.url}/internal/quotas/user/ann`;
    for (const key of ['a1:increment', 'a1:increment', 'a2:increment'])
      expect(await send(`${url}/usage`, REPORT, keyed(key))).toMatchObject({ status: 200 });
    expect(await send(url)).toMatchObject({
      body: { userId: 'ann', status: 'active', limits: { maxDevices: 2 }, usage: { currentDevices: 2, usedMemoryGB: 3 } },
    });
    expect(await send(`${url}/usage`, { ...REPORT, cpuCores: 9 }, keyed('a1:increment'))).toMatchObject({ status: 422 });
    expect(await send(`${url}/usage`, REPORT)).toMatchObject({ status: 400 });
    expect(await send(`${url}/usage`, {}, keyed('a3:increment'))).toMatchObject({ status: 400 });
    expect(await send(`${url}/other`)).toMatchObject({ status: 404 });
  });

  test('send a notification once', async () => {
    const url = `${standIns.notification.url}/api/internal/notifications/send`;
    for (const key of ['n1', 'n1']) expect(await send(url, NOTICE, keyed(key))).toMatchObject({ status: 200 });
    expect(standIns.notification.control.sent()).toEqual([{ ...NOTICE, data: {} }]);
    expect(await send(url, NOTICE)).toMatchObject({ status: 400 });
    expect(await send(url, {}, keyed('n2'))).toMatchObject({ status: 400 });
  });

  test('are told over HTTP what to answer and how to fail', async () => {
    const { url } = standIns.user;
    expect(await send(`${url}/control/quota`, { userId: 'bob', quota: 'none' })).toMatchObject({ status: 200 });
    expect(await send(`${url}/internal/quotas/user/bob`)).toMatchObject({ status: 404 });
    await send(`${url}/control/default-quota`, { status: 'suspended' });
    expect(await send(`${url}/internal/quotas/user/eve`)).toMatchObject({ body: { status: 'suspended' } });
    await send(`${url}/control/fail`, { fault: { kind: 'status', status: 503 }, path: 'carl' });
    expect(await send(`${url}/internal/quotas/user/carl`)).toMatchObject({ status: 503 });
    expect(await send(`${url}/internal/quotas/user/eve`)).toMatchObject({ status: 200 });
    await send(`${url}/control/heal`, {});
    expect(await send(`${url}/internal/quotas/user/carl`)).toMatchObject({ status: 200 });
    expect(await send(`${url}/control/fail`, { fault: { kind: 'sulk' } })).toMatchObject({ status: 400 });
    expect(await send(`${url}/control/dance`, {})).toMatchObject({ status: 404 });
    const billing = standIns.billing.url;
    await send(`${billing}/control/balance`, { userId: 'bob', balance: '-1.00', status: 'frozen' });
    await send(`${billing}/control/default-balance`, { balance: 5, status: 'low' });
    expect(await send(`${billing}/api/internal/balance/user/bob`)).toEqual({ status: 200, body: { balance: '-1.00', status: 'frozen' } });
    expect(await send(`${billing}/api/internal/balance/user/eve`)).toEqual({ status: 200, body: { balance: 5, status: 'low' } });
  });

  test('say together what they were told', async () => {
    expect(await send(standIns.summaryUrl)).toEqual({ status: 200, body: JSON.parse(JSON.stringify(standIns.summary())) });
    expect(await send(`${standIns.billing.url}/control/summary`)).toEqual({
      status: 200,
      body: { allocations: 0, seconds: 0, repeats: 0, reshuffled: 0 },
    });
  });
});
