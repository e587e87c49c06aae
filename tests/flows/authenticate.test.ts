import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  type Answer,
  type ApiBench,
  type ApiServer,
  asService,
  asUser,
  openApiBench,
  SERVICE_SECRET,
  USER_SECRET,
} from '../support/api-bench.ts';

/** Who may use a route. Every route of the server is in here: one that is not makes the first test fail. */
const ROUTES: Readonly<Record<string, 'open' | 'caller' | 'administrative'>> = {
  'GET /health': 'open',
  'GET /ready': 'open',
  'GET /metrics': 'administrative',
  'POST /scheduler/devices/allocate': 'caller',
  'POST /scheduler/devices/release': 'caller',
  'GET /scheduler/requests/{id}': 'caller',
  'DELETE /scheduler/requests/{id}': 'caller',
  'GET /scheduler/queue': 'caller',
  'GET /scheduler/tasks': 'caller',
  'GET /scheduler/queue/stats': 'caller',
  'GET /scheduler/queue/{id}': 'caller',
  'GET /scheduler/queue/{id}/position': 'caller',
  'POST /scheduler/queue/join': 'caller',
  'POST /scheduler/queue/{id}/cancel': 'caller',
  'POST /scheduler/queue/process-next': 'administrative',
  'POST /scheduler/queue/process-batch': 'administrative',
  'GET /scheduler/devices/available': 'caller',
  'GET /scheduler/allocations': 'caller',
  'GET /scheduler/allocations/stats': 'caller',
  'GET /scheduler/allocations/{id}': 'caller',
  'POST /scheduler/allocations/{id}/heartbeat': 'caller',
  'GET /scheduler/allocations/{id}/extend-info': 'caller',
  'PUT /scheduler/allocations/{id}/extend': 'caller',
  'POST /scheduler/allocations/batch/extend': 'caller',
  'GET /scheduler/reservations': 'caller',
  'GET /scheduler/reservations/stats/summary': 'caller',
  'GET /scheduler/reservations/{id}': 'caller',
  'POST /scheduler/reservations': 'caller',
  'POST /scheduler/reservations/check-conflict': 'caller',
  'POST /scheduler/reservations/{id}/cancel': 'caller',
  'PUT /scheduler/reservations/{id}': 'caller',
  'POST /scheduler/allocations/batch': 'caller',
  'POST /scheduler/allocations/batch/release': 'caller',
  'POST /scheduler/allocations/batch/query': 'caller',
  'POST /scheduler/allocations/strategy': 'administrative',
  'POST /scheduler/allocations/release-expired': 'administrative',
  'GET /scheduler/config': 'administrative',
  'GET /scheduler/strategies': 'administrative',
  'POST /scheduler/strategies': 'administrative',
  'POST /scheduler/strategies/simulate': 'administrative',
  'GET /scheduler/strategies/active': 'administrative',
  'GET /scheduler/strategies/{id}': 'administrative',
  'PUT /scheduler/strategies/{id}': 'administrative',
  'DELETE /scheduler/strategies/{id}': 'administrative',
  'POST /scheduler/strategies/{id}/activate': 'administrative',
  'PUT /scheduler/devices/{id}': 'administrative',
  'DELETE /scheduler/devices/{id}': 'administrative',
  'POST /scheduler/devices/{id}/drain': 'administrative',
  'POST /scheduler/devices/{id}/activate': 'administrative',
  'POST /scheduler/devices/import': 'administrative',
  'GET /scheduler/users/{userId}': 'administrative',
  'GET /scheduler/jobs': 'administrative',
  'POST /scheduler/jobs/{name}/run': 'administrative',
  'POST /scheduler/jobs/{name}/pause': 'administrative',
  'POST /scheduler/jobs/{name}/resume': 'administrative',
  'GET /scheduler/invariants': 'administrative',
  'GET /scheduler/dead-letters': 'administrative',
  'POST /scheduler/dead-letters/{id}/retry': 'administrative',
  'POST /scheduler/dead-letters/retry': 'administrative',
};

const guarded = Object.entries(ROUTES).filter(([, access]) => access !== 'open');
const administrative = guarded.filter(([, access]) => access === 'administrative');

let bench: ApiBench;
let api: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
});
afterAll(() => bench.close());

function ask(route: string, as?: Record<string, string>): Promise<Answer> {
  const [method = '', path = ''] = route.split(' ');
  return api.call(method, path.replace('{id}', randomUUID()), as === undefined ? {} : { as });
}

function unsigned(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part(claims)}.`;
}

const now = () => Math.floor(Date.now() / 1_000);

/** Tokens nobody may use, and what is wrong with them. */
async function badTokens(): Promise<Record<string, Record<string, string> | undefined>> {
  const user = { sub: 'ann', iss: 'cloudphone-platform', aud: 'cloudphone-users', roles: ['admin'], isSuperAdmin: true };
  return {
    'no token': undefined,
    'an expired one': await asUser('ann', { isSuperAdmin: true, exp: now() - 60 }),
    'one that is not valid yet': await asUser('ann', { isSuperAdmin: true, nbf: now() + 600 }),
    'another key': await asUser('ann', { isSuperAdmin: true }, 'a key that nobody uses for user tokens'),
    'the algorithm none': { authorization: `Bearer ${unsigned(user)}` },
    'another audience': await asUser('ann', { isSuperAdmin: true, aud: 'internal-services' }),
    'another issuer': await asUser('ann', { isSuperAdmin: true, iss: 'somebody-else' }),
    'no subject': await asUser('', { isSuperAdmin: true }),
    'claims of the wrong kind': await asUser('ann', { isSuperAdmin: true, roles: 'admin' }),
    'no Bearer': { authorization: (await asUser('ann', { isSuperAdmin: true }))['authorization']?.replace('Bearer ', 'Basic ') ?? '' },
    'no JWT': { authorization: 'Bearer nonsense' },
    'a user token as a service token': { 'x-service-token': (await asUser('ann', {}, SERVICE_SECRET))['authorization']?.slice(7) ?? '' },
    'an expired service token': await asService('gateway', { exp: now() - 60 }),
    'a service token with the user key': await asService('gateway', {}, USER_SECRET),
    'a service token without a service': await asService('', {}),
  };
}

describe('every route', () => {
  test('is in the table of this test', async () => {
    const { body } = await api.call('GET', '/docs/json');
    const known = Object.entries<object>(body.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(known.toSorted()).toEqual(Object.keys(ROUTES).toSorted());
  });

  test('answers 401 to whoever shows no valid token', async () => {
    const bad = await badTokens();
    for (const [route] of guarded) {
      for (const [flaw, as] of Object.entries(bad)) {
        const { status, body } = await ask(route, as);
        expect({ route, flaw, status, code: body.code }).toEqual({ route, flaw, status: 401, code: 'UNAUTHENTICATED' });
      }
    }
  });

  test('answers 403 to a service that is not listed', async () => {
    const as = await asService('stranger');
    for (const [route] of guarded) {
      const { status, body } = await ask(route, as);
      expect({ route, status, code: body.code }).toEqual({ route, status: 403, code: 'FORBIDDEN' });
    }
  });

  test('for admins and services answers 403 to plain users', async () => {
    const as = await asUser('ann', { roles: ['user', 'Admin'], tenantId: 't1' });
    for (const [route] of administrative) {
      const { status, body } = await ask(route, as);
      expect({ route, status, code: body.code }).toEqual({ route, status: 403, code: 'FORBIDDEN' });
    }
  });

  test('lets in who may use it', async () => {
    const everybody = [await asUser('root', { roles: ['admin'] }), await asUser('root', { isSuperAdmin: true }), await asService()];
    for (const [route, access] of Object.entries(ROUTES)) {
      for (const as of access === 'caller' ? [...everybody, await asUser('ann')] : everybody) {
        const { status } = await ask(route, as);
        expect([route, status]).not.toEqual([route, 401]);
        expect([route, status]).not.toEqual([route, 403]);
      }
    }
  }, 180_000);

  test('that is open needs no token', async () => {
    for (const route of ['GET /health', 'GET /ready']) expect((await ask(route)).status).toBe(200);
  });
});

describe('whose things a caller reaches', () => {
  const post = async (as: Record<string, string>, body: object) =>
    api.call('POST', '/scheduler/devices/allocate', { as, body: { waitMs: 0, ...body } });

  test('a user acts for themselves and in their own tenant', async () => {
    const ann = await asUser('ann', { tenantId: 't1' });
    expect((await post(ann, { userId: 'ann' })).status).toBe(202);
    expect((await post(ann, { userId: 'ann', tenantId: 't1' })).status).toBe(202);
    expect((await post(ann, { userId: 'bob' })).body).toMatchObject({ statusCode: 403, details: { field: 'userId' } });
    expect((await post(ann, { userId: 'ann', tenantId: 't2' })).body).toMatchObject({ statusCode: 403, details: { field: 'tenantId' } });
    expect((await api.call('GET', '/scheduler/allocations?userId=bob', { as: ann })).status).toBe(403);
  });

  test('an admin acts for the own tenant, a super admin and a service for everybody', async () => {
    const admin = await asUser('eve', { roles: ['admin'], tenantId: 't1' });
    await bench.store.prisma.user.create({ data: { id: 'stranger', tenantId: 't2' } });
    expect((await post(admin, { userId: 'newcomer' })).status).toBe(202);
    expect((await post(admin, { userId: 'newcomer', tenantId: 't2' })).status).toBe(403);
    expect((await post(admin, { userId: 'stranger' })).status).toBe(403);
    expect((await post(await asUser('root', { isSuperAdmin: true }), { userId: 'stranger', tenantId: 't2' })).status).toBe(202);
    expect((await post(await asService(), { userId: 'stranger', tenantId: 't2' })).status).toBe(202);
  });

  test('a request of somebody else does not exist', async () => {
    const { body } = await post(await asUser('ann', { tenantId: 't1' }), { userId: 'ann' });
    const path = `/scheduler/requests/${body.data.requestId}`;
    const seenBy = async (sub: string, claims: object) => (await api.call('GET', path, { as: await asUser(sub, { ...claims }) })).status;

    expect(await seenBy('ann', { tenantId: 't1' })).toBe(200);
    expect(await seenBy('bob', { tenantId: 't1' })).toBe(404);
    expect(await seenBy('eve', { tenantId: 't1', roles: ['admin'] })).toBe(200);
    expect(await seenBy('eve', { tenantId: 't2', roles: ['admin'] })).toBe(404);
    expect(await seenBy('eve', { roles: ['admin'] })).toBe(404);
    expect(await seenBy('root', { isSuperAdmin: true })).toBe(200);
    const deleted = await api.call('DELETE', path, { as: await asUser('bob', { tenantId: 't1' }) });
    expect(deleted.body).toMatchObject({ statusCode: 404, code: 'REQUEST_NOT_FOUND' });
  });

  test('who shows a user’s and a service’s token acts as the service', async () => {
    const both = { ...(await asUser('ann')), ...(await asService()) };
    expect((await post(both, { userId: 'bob' })).status).toBe(202);
    const wrong = { ...(await asUser('ann')), ...(await asService('gateway', {}, USER_SECRET)) };
    expect((await post(wrong, { userId: 'ann' })).status).toBe(401);
  });
});
