import { createHash, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createFleetMap } from '../../dashboards/live/fleet-map.ts';
import { type ApiBench, type ApiServer, asUser, openApiBench } from '../support/api-bench.ts';
import { type DashboardBench, OPERATOR, openDashboard, VIEWER, type Visitor } from '../support/dashboard-bench.ts';
import { eventually } from '../support/eventually.ts';
import { EVERY_ACTION } from '../support/every-action.ts';
import { type LiveStream, listenTo } from '../support/live-stream.ts';
import { writeOwed } from '../support/outbox-rows.ts';

let bench: ApiBench;
let api: ApiServer;
let dashboard: DashboardBench;
let operator: Visitor;
let viewer: Visitor;
const streams: LiveStream[] = [];

beforeAll(async () => {
  bench = await openApiBench();
  await bench.startWorkers();
  api = await bench.start();
  dashboard = await openDashboard(bench);
  operator = await dashboard.logIn(OPERATOR);
  viewer = await dashboard.logIn(VIEWER);
});
afterEach(async () => {
  for (const stream of streams.splice(0)) await stream.close();
});
afterAll(async () => {
  await dashboard.close();
  await bench.close();
});

async function allocate(userId: string): Promise<{ allocationId: string; deviceId: string; requestId: string }> {
  const { status, body } = await api.call('POST', '/scheduler/devices/allocate', {
    as: await asUser(userId),
    body: { userId, waitMs: 20_000 },
  });
  expect({ status, code: body.code }).toEqual({ status: 201, code: undefined });
  const { requestId } = await bench.store.prisma.allocation.findUniqueOrThrow({ where: { id: body.data.allocationId } });
  return { ...body.data, requestId };
}

async function watch(visitor = viewer): Promise<LiveStream> {
  const stream = await listenTo(`${dashboard.url}/api/live`, visitor.cookie);
  streams.push(stream);
  return stream;
}

const newest = () => bench.store.prisma.auditEntry.findFirstOrThrow({ orderBy: { id: 'desc' } });
const story = async (kind: string, id: string) =>
  (await viewer.get(`/api/story/${kind}?id=${encodeURIComponent(id)}`)).json() as Promise<{ data: Story }>;

interface Story {
  readonly allocations: readonly { readonly id: string; readonly endReason: string | null; readonly billing: string | null }[];
  readonly requests: readonly { readonly id: string; readonly status: string; readonly code: string | null }[];
  readonly events: readonly { readonly topic: string; readonly status: string }[];
  readonly jobs: readonly { readonly id: string; readonly queue: string; readonly state: string }[];
  readonly device?: { readonly draining: boolean };
}

describe('the stream', () => {
  test('tells every part of the page, and what changes while it is watched', async () => {
    await bench.addDevices(3);
    const stream = await watch();
    const parts = [
      'fleet',
      'live',
      'waiting',
      'minutes',
      'history',
      'queues',
      'jobs',
      'health',
      'dead',
      'reservations',
      'strategies',
      'changes',
    ];
    for (const part of parts) await stream.until(part, () => true);
    const { counts, cells } = stream.last('fleet');
    expect(counts).toMatchObject({ free: 3, held: 0 });
    expect(cells).toBe('fff');
    const before = stream.last('live').count;
    const { allocationId } = await allocate('watched');
    await stream.until('live', ({ count, ending }) => count === before + 1 && ending.some(({ id }: { id: string }) => id === allocationId));
    await stream.until('fleet', ({ counts: now }) => now.held === 1);
    await stream.until('minutes', (minutes) => minutes.at(-1).granted + minutes.at(-2).granted >= 1);
    await operator.act('release', { allocationId });
    await stream.until('fleet', ({ counts: now }) => now.held === 0);
  });

  test('has one reader for all who watch, and ends when its session does', async () => {
    const other = await dashboard.logIn(VIEWER);
    const [one, two] = [await watch(), await watch(other)];
    await two.until('fleet', () => true);
    await fetch(`${dashboard.url}/logout`, { method: 'POST', headers: { cookie: other.cookie } });
    await two.ended;
    expect(two.last('goodbye')).toEqual({});
    expect(one.last('goodbye')).toBeUndefined();
  });

  test('shows no secret that stands in the error of a scheduled job', async () => {
    const job = 'stats';
    const lastError = 'no answer from amqp://me:hunter2@host/';
    await bench.store.prisma.scheduledRun.upsert({ where: { job }, create: { job, lastError }, update: { lastError } });
    const stream = await watch();
    const shown = (jobs: { name: string; lastError: string | null }[]) => jobs.find(({ name }) => name === job)?.lastError;
    await stream.until('jobs', (jobs) => Boolean(shown(jobs)));
    expect(shown(stream.last('jobs'))).toBe('no answer from amqp://me:[redacted]@host/');
  });

  test('keeps no session from its idle end', async () => {
    const other = await dashboard.logIn(VIEWER);
    const { redis } = bench;
    const id = other.cookie.slice(other.cookie.indexOf('=') + 1);
    const key = `${bench.prefix}:dashboard:session:${createHash('sha256').update(id).digest('base64url')}`;
    const stream = await watch(other);
    await redis.expire(key, 100);
    await stream.until('time', () => true);
    expect(await redis.ttl(key)).toBeLessThanOrEqual(100);
    expect(await redis.ttl(key)).toBeGreaterThan(0);
  });

  test('says that Postgres is away, part by part, and goes on with what is in Redis', async () => {
    const nowhere = await openDashboard({ databaseUrl: 'postgresql://nobody@127.0.0.1:1/none', prefix: bench.prefix });
    const stream = await listenTo(`${nowhere.url}/api/live`, (await nowhere.logIn(VIEWER)).cookie);
    await stream.until('problem', ({ message }) => message !== '');
    await stream.until('queues', (queues) => queues.length > 5);
    await stream.close();
    const mute = await nowhere.logIn(OPERATOR);
    expect(await mute.act('pause-queue', { name: 'notice' })).toMatchObject({ status: 503 });
    await nowhere.close();
  });
});

describe('the map', () => {
  test('knows the name and the device of each cell, and says when it has been rearranged', async () => {
    const stream = await watch();
    await stream.until('fleet', () => true);
    const layout = ((await (await viewer.get('/api/fleet/layout')).json()) as { data: { id: string; names: string[] } }).data;
    expect(layout.id).toBe(stream.last('fleet').layout);
    const found = (await (await viewer.get(`/api/fleet/device?layout=${layout.id}&index=1`)).json()) as { data: { id: string } };
    const device = await bench.store.prisma.device.findUniqueOrThrow({ where: { id: found.data.id } });
    expect(device.name).toBe(layout.names[1]);
    await bench.addDevices(1, { name: 'newcomer', region: 'a' });
    await stream.until('fleet', (fleet) => fleet.layout !== layout.id);
    expect((await viewer.get(`/api/fleet/device?layout=${layout.id}&index=1`)).status).toBe(404);
    expect((await viewer.get('/api/fleet/device?index=x')).status).toBe(404);
  });
});

describe('the map of a large fleet', () => {
  test('shows nodes, regions when there are too many of those, and devices again once it is small', async () => {
    const large = await openApiBench();
    for (const [region, nodeId] of [
      ['north', 'n1'],
      ['north', 'n1'],
      ['north', 'n2'],
      ['south', null],
    ])
      await large.addDevices(1, { region, nodeId });
    await large.addDevices(1, { region: 'south', nodeId: 'n3', status: 'error' });
    const map = createFleetMap(large.store, 4, 10);
    const groups = [
      { region: 'north', node: 'n1', free: 2 },
      { region: 'north', node: 'n2', free: 1 },
      { region: 'south', node: '', free: 1 },
      { region: 'south', node: 'n3', error: 1 },
    ];
    expect(await map.read()).toMatchObject({ mode: 'groups', total: 5, counts: { free: 4, error: 1, held: 0 }, groups });
    const regions = [
      { region: 'north', node: '', free: 3 },
      { region: 'south', node: '', free: 1, error: 1 },
    ];
    expect(await createFleetMap(large.store, 4, 3).read()).toMatchObject({ groups: regions });
    await large.store.prisma.device.updateMany({ where: { nodeId: 'n1' }, data: { status: 'deleted' } });
    await map.read();
    expect(await map.read()).toMatchObject({ mode: 'cells', total: 3, counts: { free: 2, error: 1 } });
    await large.close();
  });
});

describe('an action', () => {
  test('releases an allocation through the workers and leaves a row that says who did it', async () => {
    const { allocationId, deviceId } = await allocate('released-by-operator');
    const answer = await operator.act('release', { allocationId, reason: 'asked by phone' });
    expect(await answer.json()).toEqual({ success: true, data: { message: expect.stringContaining('is released.') } });
    expect(await newest()).toMatchObject({
      actor: 'ops',
      role: 'operator',
      action: 'release',
      target: allocationId,
      details: { allocationId, reason: 'asked by phone' },
    });
    await eventually(async () => expect((await newest()).status).toBe(200));
    const ended = await bench.store.prisma.allocation.findUniqueOrThrow({ where: { id: allocationId } });
    expect([ended.endReason, ended.deviceId]).toEqual(['admin_released', deviceId]);
    expect(await (await operator.act('release', { allocationId })).json()).toMatchObject({ statusCode: 410, code: 'ALLOCATION_ENDED' });
    expect(await (await operator.act('release', { allocationId: randomUUID() })).json()).toMatchObject({ code: 'ALLOCATION_NOT_FOUND' });
  });

  test('drains a device and takes it back', async () => {
    const [deviceId = ''] = await bench.addDevices(1);
    const draining = async () => (await story('device', deviceId)).data.device?.draining;
    expect((await operator.act('drain', { deviceId })).status).toBe(200);
    expect(await draining()).toBe(true);
    expect((await operator.act('activate', { deviceId })).status).toBe(200);
    expect(await draining()).toBe(false);
    expect((await operator.act('drain', { deviceId: randomUUID() })).status).toBe(404);
  });

  test('tries dead letters again, one or all', async () => {
    const ids = await writeOwed(bench.store, 3);
    await bench.store.prisma.ledgerEntry.updateMany({ where: { allocationId: { in: ids } }, data: { status: 'dead', lastError: 'no' } });
    const stream = await watch();
    await stream.until('dead', ({ total }) => total === 3);
    expect((await operator.act('retry-dead-letter', { id: ids[0] })).status).toBe(200);
    expect((await operator.act('retry-dead-letter', { id: ids[0] })).status).toBe(404);
    expect(await (await operator.act('retry-dead-letters', {})).json()).toMatchObject({
      data: { message: '2 dead letters are tried again.' },
    });
    await stream.until('dead', ({ total }) => total === 0);
  });

  test('runs, pauses and resumes jobs and queues, and switches the strategy', async () => {
    const stream = await watch();
    for (const action of ['run-job', 'pause-job']) expect((await operator.act(action, { name: 'stats' })).status).toBe(200);
    await stream.until('jobs', (jobs) => jobs.find(({ name }: { name: string }) => name === 'stats').paused);
    expect((await operator.act('resume-job', { name: 'stats' })).status).toBe(200);
    expect((await operator.act('pause-queue', { name: 'notice' })).status).toBe(200);
    await stream.until('queues', (queues) => queues.find(({ name }: { name: string }) => name === 'notice').paused);
    expect((await operator.act('resume-queue', { name: 'notice' })).status).toBe(200);
    expect((await operator.act('resume-queue', { name: 'nothing' })).status).toBe(404);
    await stream.until('strategies', (all) => all.length > 1);
    const other = stream.last('strategies').find(({ active }: { active: boolean }) => !active);
    expect((await operator.act('switch-strategy', { id: other.id })).status).toBe(200);
    await stream.until('strategies', (all) => all.find(({ active }: { active: boolean }) => active).id === other.id);
  });

  test.each(EVERY_ACTION)(
    '%s is refused to a viewer, from another site, without the token and without words, and changes nothing',
    async (action, words) => {
      const stranger = await dashboard.logIn(OPERATOR);
      const before = await bench.store.prisma.auditEntry.count();
      const refusals = [
        await viewer.act(action, words),
        await operator.act(action, words, { 'x-csrf-token': '' }),
        await operator.act(action, words, { 'x-csrf-token': stranger.csrf }),
        await operator.act(action, words, { origin: 'https://evil.example' }),
        await operator.act(action, words, { 'sec-fetch-site': 'cross-site' }),
      ];
      expect(refusals.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403]);
      expect((await operator.act(action, words, { cookie: '' })).status).toBe(401);
      expect(await bench.store.prisma.auditEntry.count()).toBe(before);
      expect((await operator.act(action, { unknown: 1 })).status).toBe(400);
      expect((await operator.act(action, words, { 'content-type': 'text/plain' })).status).toBe(400);
    },
  );

  test('is refused without the token however its address is spelt', async () => {
    const headers = { cookie: operator.cookie, 'content-type': 'application/json' };
    for (const path of ['/api/actions/pause-queue', '/%61pi/actions/pause-queue', '/api%2Factions/pause-queue'])
      expect([403, 404]).toContain((await fetch(`${dashboard.url}${path}`, { method: 'POST', headers, body: '{"name":"notice"}' })).status);
    const spelt = await fetch(`${dashboard.url}/%61pi/actions/pause-queue`, {
      method: 'POST',
      headers: { ...headers, 'x-csrf-token': operator.csrf },
      body: '{"name":"nothing"}',
    });
    expect(await spelt.json()).toMatchObject({ statusCode: 404, message: ['There is no such queue.'] });
    expect((await fetch(`${dashboard.url}/%61pi/summary`)).status).toBe(401);
  });

  test('with text that cannot be stored is refused, and so is a question', async () => {
    for (const path of ['/api/search?q=%00', '/api/story/user?id=a%00', '/api/story/%00?id=a'])
      expect([path, (await viewer.get(path)).status]).toEqual([path, 400]);
    const words = { allocationId: randomUUID() };
    expect((await operator.act('%00', words)).status).toBe(400);
    for (const reason of ['a\u0000b', '\ud800']) expect((await operator.act('release', { ...words, reason })).status).toBe(400);
    expect((await operator.act('release', { ...words, 'a\u0000b': 1 })).status).toBe(400);
  });

  test('that is none is answered so, and noted all the same', async () => {
    expect((await operator.act('toString', {})).status).toBe(404);
    expect(await newest()).toMatchObject({ action: 'toString' });
  });

  test('in Bull Board is noted too, without its secrets', async () => {
    const add = await fetch(`${dashboard.url}/queues/api/queues/notice/add`, {
      method: 'POST',
      headers: { cookie: operator.cookie, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'x', data: { token: 'top secret' }, options: {} }),
    });
    expect(add.status).toBe(200);
    const noted = await newest();
    expect(noted).toMatchObject({ actor: 'ops', action: 'POST /queues/api/queues/:queueName/add', target: 'notice' });
    expect(JSON.stringify(noted.details)).not.toContain('top secret');
  });
});

describe('the search', () => {
  const find = async (words: string) =>
    (
      (await (await viewer.get(`/api/search?q=${encodeURIComponent(words)}`)).json()) as {
        data: { items: { kind: string; label: string }[] };
      }
    ).data.items;

  test('finds users, devices by the beginning of their name, and anything by its id', async () => {
    await bench.addDevices(1, { name: 'tower-7 100%_x' });
    const { allocationId, requestId } = await allocate('sought');
    expect(await find('sought')).toEqual([{ kind: 'user', id: 'sought', label: 'sought' }]);
    expect(await find('Tower-7')).toMatchObject([{ kind: 'device', label: 'tower-7 100%_x' }]);
    expect(await find('tower-7 100%_')).toHaveLength(1);
    expect(await find('%')).toEqual([]);
    expect(await find(allocationId)).toMatchObject([{ kind: 'allocation' }]);
    expect(await find(requestId)).toMatchObject([{ kind: 'request' }]);
    expect((await viewer.get('/api/search?q=')).status).toBe(400);
  });

  test('leads to the whole story: request, allocation, bill, events and jobs', async () => {
    const { allocationId, requestId, deviceId } = await allocate('hero');
    await operator.act('release', { allocationId });
    for (const [kind, id] of [
      ['allocation', allocationId],
      ['request', requestId],
    ] as const) {
      const { data } = await story(kind, id);
      expect(data.allocations).toMatchObject([{ id: allocationId, endReason: 'admin_released', billing: 'owed' }]);
      expect(data.requests).toMatchObject([{ id: requestId, status: 'granted' }]);
      expect(data.events.map(({ topic }) => topic)).toEqual(
        expect.arrayContaining(['device.allocated', 'increment', 'device.released', 'decrement']),
      );
      expect(data.jobs).toMatchObject([{ queue: 'allocate', state: 'completed' }]);
    }
    for (const [kind, id] of [
      ['user', 'hero'],
      ['device', deviceId],
    ] as const) {
      const { data } = await story(kind, id);
      expect(data.allocations.find((each) => each.id === allocationId)).toMatchObject({ billing: 'owed' });
      if (kind === 'device') expect(data.requests.map((each) => each.id)).toContain(requestId);
      expect(data.events.map(({ topic }) => topic)).toEqual(
        expect.arrayContaining(['device.allocated', 'increment', 'device.released', 'decrement']),
      );
      expect(data.jobs.find((each) => each.id === requestId)).toMatchObject({ queue: 'allocate', state: 'completed' });
    }
  });

  test('tells delivered events as well, and refusals of a user', async () => {
    const { allocationId } = await allocate('delivered');
    await bench.store.prisma.outboxEntry.updateMany({ data: { status: 'delivered', deliveredAt: new Date() } });
    expect((await story('allocation', allocationId)).data.events).toEqual(
      expect.arrayContaining([expect.objectContaining({ topic: 'device.allocated', status: 'delivered' })]),
    );
    await api.call('POST', '/scheduler/devices/allocate', {
      as: await asUser('greedy'),
      body: { userId: 'greedy', preferredSpecs: { minCpu: 64 }, waitMs: 20_000 },
    });
    expect((await story('user', 'greedy')).data.requests).toMatchObject([{ status: 'refused', code: 'NO_MATCHING_DEVICE' }]);
  });

  test('knows nothing of what is not there, and gives away no address of a device', async () => {
    for (const kind of ['user', 'device', 'allocation', 'request', 'reservation'])
      expect((await viewer.get(`/api/story/${kind}?id=${randomUUID()}`)).status).toBe(404);
    expect((await viewer.get('/api/story/secret?id=1')).status).toBe(404);
    const [id = ''] = await bench.addDevices(1, { adbHost: '10.9.8.7', adbPort: 5555 });
    expect(JSON.stringify(await story('device', id))).not.toContain('10.9.8.7');
  });
});

describe('the files of the page', () => {
  test('are plain JavaScript that imports addresses only, asked for again only when they have changed', async () => {
    const first = await viewer.get('/page/main.js');
    const text = await first.text();
    expect(first.headers.get('content-type')).toContain('text/javascript');
    const imported = [...text.matchAll(/from\s*['"]([^'"]+)/g)].map(([, name]) => name);
    expect(imported).toEqual(expect.arrayContaining(['/page/lib/preact.js', './app.js']));
    expect(imported.filter((name) => !/^(\.\/|\/page\/)/.test(name ?? ''))).toEqual([]);
    const again = await fetch(`${dashboard.url}/page/main.js`, {
      headers: { cookie: viewer.cookie, 'if-none-match': first.headers.get('etag') ?? '' },
    });
    expect(again.status).toBe(304);
  });

  test('come with a policy under which nothing inline and nothing foreign runs', async () => {
    const policy = (await viewer.get('/')).headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'; script-src 'self'");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toContain('unsafe');
    expect(policy).not.toMatch(/https?:|\*/);
  });
});
