import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { countStatements } from '../support/count-statements.ts';

let bench: ApiBench;
let api: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await bench.startWorkers();
  await bench.addDevices(60);
});
afterAll(() => bench.close());

type Call = (
  as: Record<string, string>,
  userId: string,
  tenantId?: string,
) => Promise<{ status: number; tenantId: unknown; code: unknown }>;

/** The tenant that ended up in the row, by the door it was asked at. */
const DOORS: Readonly<Record<string, Call>> = {
  allocate: async (as, userId, tenantId) => {
    const { status, body } = await api.call('POST', '/scheduler/devices/allocate', { as, body: { userId, tenantId, waitMs: 30_000 } });
    const row = await bench.store.prisma.allocation.findFirst({ where: { userId }, orderBy: { allocatedAt: 'desc' } });
    if (status === 201) expect(body.data.tenantId).toBe(row?.tenantId);
    if (row !== null)
      expect(await bench.store.prisma.request.findUnique({ where: { id: row.requestId } })).toMatchObject({ tenantId: row.tenantId });
    return { status, tenantId: row?.tenantId, code: body.code };
  },
  batch: async (as, userId, tenantId) => {
    const { status, body } = await api.call('POST', '/scheduler/allocations/batch', { as, body: { requests: [{ userId, tenantId }] } });
    const row = await bench.store.prisma.allocation.findFirst({ where: { userId }, orderBy: { allocatedAt: 'desc' } });
    return { status: status === 200 ? 201 : status, tenantId: row?.tenantId, code: body.code };
  },
  reserve: async (as, userId, tenantId) => {
    const reservedStartTime = new Date(Date.now() + 3_600_000).toISOString();
    const { status, body } = await api.call('POST', '/scheduler/reservations', {
      as,
      body: { userId, tenantId, reservedStartTime, durationMinutes: 15 },
    });
    const row = await bench.store.prisma.reservation.findFirst({ where: { userId } });
    return { status, tenantId: row?.tenantId, code: body.code };
  },
  join: async (as, userId, tenantId) => {
    const { status, body } = await api.call('POST', '/scheduler/queue/join', { as, body: { userId, tenantId } });
    const row = await bench.store.prisma.request.findFirst({ where: { userId }, orderBy: { createdAt: 'desc' } });
    return { status, tenantId: row?.tenantId, code: body.code };
  },
};

/** A user nobody has heard of, or one who is known with a tenant. */
async function userOf(tenantId?: string | null): Promise<string> {
  const id = `user-${randomUUID()}`;
  if (tenantId !== undefined) await bench.store.prisma.user.create({ data: { id, tenantId } });
  return id;
}

describe.each(Object.entries(DOORS))('the tenant at the door %s', (_door, ask) => {
  test('is the stated one from a service or a super admin, whatever the user is known with', async () => {
    for (const as of [await asService(), await asUser('root', { isSuperAdmin: true, tenantId: 'head' })]) {
      expect(await ask(as, await userOf('acme'), 'other')).toMatchObject({ status: 201, tenantId: 'other' });
    }
  });

  test('is the caller’s who acts for themselves', async () => {
    const [user, admin, root] = [await userOf('old'), await userOf('old'), await userOf('old')];
    expect(await ask(await asUser(user, { tenantId: 'acme' }), user)).toMatchObject({ status: 201, tenantId: 'acme' });
    expect(await ask(await asUser(admin, { tenantId: 'acme', roles: ['admin'] }), admin)).toMatchObject({ status: 201, tenantId: 'acme' });
    expect(await ask(await asUser(root, { tenantId: 'acme', isSuperAdmin: true }), root)).toMatchObject({ status: 201, tenantId: 'acme' });
  });

  test('is the one an admin administers, whose users are of it or of none yet', async () => {
    const admin = await asUser('eve', { roles: ['admin'], tenantId: 'acme' });
    expect(await ask(admin, await userOf())).toMatchObject({ status: 201, tenantId: 'acme' });
    expect(await ask(admin, await userOf('acme'))).toMatchObject({ status: 201, tenantId: 'acme' });
    expect(await ask(admin, await userOf('acme'), 'acme')).toMatchObject({ status: 201, tenantId: 'acme' });
    for (const known of ['other', null]) expect(await ask(admin, await userOf(known))).toMatchObject({ status: 403, code: 'FORBIDDEN' });
  });

  test('is the one the user is known with when a super admin or a service states none, and none for a stranger', async () => {
    for (const as of [await asService(), await asUser('root', { isSuperAdmin: true, tenantId: 'head' })]) {
      expect(await ask(as, await userOf('acme'))).toMatchObject({ status: 201, tenantId: 'acme' });
      expect(await ask(as, await userOf())).toMatchObject({ status: 201, tenantId: null });
    }
  });

  test('must not be a foreign one', async () => {
    const user = await userOf();
    expect(await ask(await asUser(user, { tenantId: 'acme' }), user, 'other')).toMatchObject({ status: 403, code: 'FORBIDDEN' });
    const admin = await asUser('eve', { roles: ['admin'], tenantId: 'acme' });
    expect(await ask(admin, await userOf(), 'other')).toMatchObject({ status: 403, code: 'FORBIDDEN' });
  });

  test('is remembered with a user who was known without one', async () => {
    const user = await userOf();
    await ask(await asService(), user);
    await bench.store.prisma.request.updateMany({
      where: { userId: user, status: 'waiting' },
      data: { status: 'cancelled', decidedAt: new Date() },
    });
    await bench.store.prisma.reservation.deleteMany({ where: { userId: user } });
    expect(await ask(await asUser(user, { tenantId: 'acme' }), user)).toMatchObject({ status: 201, tenantId: 'acme' });
    expect(await bench.store.prisma.user.findUnique({ where: { id: user } })).toMatchObject({ tenantId: 'acme' });
  });
});

test('the tenant the user is known with costs an allocation no statement more', async () => {
  const counter = await countStatements(bench.databaseUrl);
  const counted = await bench.start({ databaseUrl: counter.through(bench.databaseUrl) });
  const statementsOf = async (as: Record<string, string>, body: Record<string, unknown>) => {
    const before = counter.count();
    const { status } = await counted.call('POST', '/scheduler/devices/allocate', { as, body: { ...body, waitMs: 0 } });
    expect(status).toBe(202);
    return counter.count() - before;
  };
  /** The least of three calls: now and then the server sends a statement of its own. */
  const leastOf = async (known: string | undefined, as?: Record<string, string>, more: Record<string, unknown> = {}) => {
    const counts: number[] = [];
    for (let call = 0; call < 3; call += 1) {
      const userId = await userOf(known);
      counts.push(await statementsOf(as ?? (await asUser(userId)), { userId, ...more }));
    }
    return Math.min(...counts);
  };
  // The first call of a server opens its connections.
  await statementsOf(await asService(), { userId: await userOf() });
  const usual = await leastOf(undefined);
  expect(await leastOf(undefined, await asService(), { tenantId: 'acme' })).toBe(usual);
  expect(await leastOf('acme', await asService())).toBe(usual);
  await counted.close();
  await counter.close();
});
