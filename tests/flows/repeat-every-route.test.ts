import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Answer, type ApiBench, type ApiServer, asService, openApiBench } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';

let bench: ApiBench;
let api: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await bench.startWorkers();
  await bench.addDevices(60);
});
afterAll(() => bench.close());

interface Sent {
  readonly path?: string;
  readonly body?: unknown;
  /** Lines instead of a body. */
  readonly raw?: string;
}

/** A call the first time it is sent, and the statuses it may be answered with. */
interface Sample {
  readonly statuses: readonly number[];
  readonly make: () => Promise<Sent> | Sent;
}

const DEVICE = { name: 'd', type: 'phone', status: 'running', providerType: 'redroid', cpuCores: 1, memoryMB: 1, storageMB: 1 };
const someone = () => `user-${randomUUID()}`;
const later = (minutes = 60) => new Date(Date.now() + minutes * 60_000).toISOString();
const send = async (method: string, path: string, { body, raw }: Sent, headers: Record<string, string> = {}) =>
  api.call(method, path, {
    as: await asService(),
    ...(body === undefined ? {} : { body }),
    ...(raw === undefined ? {} : { raw }),
    headers: { ...headers, ...(raw === undefined ? {} : { 'content-type': 'application/x-ndjson' }) },
  });
const made = async (path: string, body: object) => (await send('POST', path, { body })).body.data;
const allocation = (more: object = {}) =>
  made('/scheduler/devices/allocate', { userId: someone(), durationMinutes: 20, waitMs: 30_000, ...more });
const reservation = () => made('/scheduler/reservations', { userId: someone(), reservedStartTime: later(), durationMinutes: 15 });
const entry = () => made('/scheduler/queue/join', { userId: someone(), deviceType: 'tablet' });
const strategy = () => made('/scheduler/strategies', { name: randomUUID(), type: 'round_robin' });
const ok = (make: Sample['make'], ...statuses: number[]): Sample => ({ statuses: statuses.length === 0 ? [200] : statuses, make });
const no = (status: number, make: Sample['make']): Sample => ({ statuses: [status], make });
const at = (id: string, body?: unknown): Sent => ({ path: id, ...(body === undefined ? {} : { body }) });
const onDevice = async (): Promise<Sent> => at((await bench.addDevices(1))[0] ?? '');

/** Of every route that changes something: a call that succeeds, and one that is refused where the state may refuse it. */
const SAMPLES: Readonly<Record<string, readonly Sample[]>> = {
  'POST /scheduler/devices/allocate': [
    ok(() => ({ body: { userId: someone(), waitMs: 30_000 } }), 201),
    ok(() => ({ body: { userId: someone(), waitMs: 0 } }), 202),
    no(409, () => ({ body: { userId: someone(), waitMs: 30_000, devicePreferences: { deviceType: 'tablet' } } })),
  ],
  'POST /scheduler/devices/release': [
    ok(async () => ({ body: { allocationId: (await allocation()).allocationId } })),
    ok(async () => ({ body: { deviceId: (await allocation()).deviceId } })),
    no(404, () => ({ body: { allocationId: randomUUID() } })),
  ],
  'POST /scheduler/allocations/batch': [ok(() => ({ body: { requests: [{ userId: someone() }, { userId: someone() }] } }))],
  'POST /scheduler/allocations/batch/release': [
    ok(async () => ({ body: { allocationIds: [(await allocation()).allocationId, randomUUID()] } })),
  ],
  'POST /scheduler/allocations/batch/extend': [
    ok(async () => ({ body: { allocationIds: [(await allocation()).allocationId, randomUUID()], additionalMinutes: 1 } })),
  ],
  'POST /scheduler/allocations/batch/query': [ok(async () => ({ body: { userIds: [(await allocation()).userId] } }))],
  'PUT /scheduler/allocations/{id}/extend': [
    ok(async () => at((await allocation()).allocationId, { additionalMinutes: 1 })),
    no(404, () => at(randomUUID(), { additionalMinutes: 1 })),
    no(400, async () => at((await allocation()).allocationId, { additionalMinutes: 1_440 })),
  ],
  'POST /scheduler/allocations/{id}/heartbeat': [
    ok(async () => {
      const { allocationId, fence } = await allocation({ heartbeatSeconds: 60 });
      return at(allocationId, { fence });
    }, 204),
    no(404, () => at(randomUUID(), { fence: 1 })),
  ],
  'POST /scheduler/allocations/strategy': [ok(() => ({ body: { strategy: 'resource_based' } }))],
  'POST /scheduler/allocations/release-expired': [ok(() => ({}))],
  'POST /scheduler/reservations': [
    ok(() => ({ body: { userId: someone(), reservedStartTime: later(), durationMinutes: 15 } }), 201),
    no(409, () => ({ body: { userId: someone(), reservedStartTime: later(), durationMinutes: 15, deviceType: 'tablet' } })),
  ],
  'POST /scheduler/reservations/check-conflict': [ok(() => ({ body: { userId: someone(), startTime: later(), endTime: later(90) } }))],
  'PUT /scheduler/reservations/{id}': [
    ok(async () => at((await reservation()).id, { durationMinutes: 30 })),
    no(404, () => at(randomUUID(), { durationMinutes: 30 })),
  ],
  'POST /scheduler/reservations/{id}/cancel': [ok(async () => at((await reservation()).id, {})), no(404, () => at(randomUUID(), {}))],
  'POST /scheduler/queue/join': [
    ok(() => ({ body: { userId: someone(), deviceType: 'tablet' } }), 201),
    no(409, async () => ({ body: { userId: (await entry()).userId } })),
  ],
  'POST /scheduler/queue/{id}/cancel': [ok(async () => at((await entry()).id, {})), no(404, () => at(randomUUID(), {}))],
  'POST /scheduler/queue/process-next': [ok(() => ({}))],
  'POST /scheduler/queue/process-batch': [ok(() => ({ body: { maxCount: 5 } }))],
  'POST /scheduler/strategies': [
    ok(() => ({ body: { name: randomUUID(), type: 'round_robin' } }), 201),
    no(409, async () => ({ body: { name: (await strategy()).name, type: 'round_robin' } })),
  ],
  'POST /scheduler/strategies/simulate': [
    ok(() => ({ body: { type: 'round_robin', trace: [{ userId: 'ann', atSeconds: 0, durationMinutes: 5 }] } })),
  ],
  'PUT /scheduler/strategies/{id}': [
    ok(async () => at((await strategy()).id, { name: randomUUID(), type: 'round_robin' })),
    no(404, () => at(randomUUID(), { name: randomUUID(), type: 'round_robin' })),
  ],
  'POST /scheduler/strategies/{id}/activate': [ok(async () => at((await strategy()).id)), no(404, () => at(randomUUID()))],
  'PUT /scheduler/devices/{id}': [ok(() => at(randomUUID(), DEVICE), 201)],
  'POST /scheduler/devices/import': [ok(() => ({ raw: `${JSON.stringify({ id: randomUUID(), ...DEVICE })}\nnonsense\n` }))],
  'POST /scheduler/devices/{id}/drain': [ok(onDevice), no(404, () => at(randomUUID()))],
  'POST /scheduler/devices/{id}/activate': [ok(onDevice), no(404, () => at(randomUUID()))],
  'POST /scheduler/dead-letters/{id}/retry': [no(404, () => at(randomUUID()))],
  'POST /scheduler/dead-letters/retry': [ok(() => ({ body: {} }))],
  'POST /scheduler/jobs/{name}/run': [ok(() => at('stats')), no(404, () => at('nothing'))],
  'POST /scheduler/jobs/{name}/pause': [ok(() => at('stats')), no(404, () => at('nothing'))],
  'POST /scheduler/jobs/{name}/resume': [ok(() => at('stats')), no(404, () => at('nothing'))],
};

async function routes(): Promise<string[]> {
  const { paths } = (await api.call('GET', '/docs/json')).body as { paths: Record<string, Record<string, unknown>> };
  const all = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  return all.filter((route) => /^(POST|PUT) /.test(route));
}

/** How much there is of everything once all that was accepted is decided: what is done twice shows here. */
async function counts(): Promise<unknown> {
  await eventually(async () => expect(await bench.store.prisma.request.count({ where: { status: 'pending' } })).toBe(0));
  return bench.store.prisma.$queryRaw`
    SELECT (SELECT count(*)::int FROM allocations) AS allocations, (SELECT count(*)::int FROM requests) AS requests,
      (SELECT count(*)::int FROM reservations) AS reservations, (SELECT count(*)::int FROM devices) AS devices,
      (SELECT count(*)::int FROM strategies) AS strategies, (SELECT count(*)::int FROM ledger) AS ledger,
      (SELECT sum(extend_count)::int FROM allocations) AS extensions`;
}

const told = ({ status, headers, text }: Answer) => ({
  status,
  text,
  location: headers.get('location'),
  contentType: headers.get('content-type'),
  retryAfter: headers.has('retry-after'),
});

test('there is a sample of every POST and PUT that the page describes', async () => {
  expect(Object.keys(SAMPLES).toSorted()).toEqual((await routes()).toSorted());
});

describe.each(
  Object.entries(SAMPLES).flatMap(([route, samples]) => samples.map((sample) => [route, sample.statuses.join(' or '), sample] as const)),
)('%s answered %s', (route, _statuses, { statuses, make }) => {
  const [method = '', template = ''] = route.split(' ');

  test('is answered the same when it is sent again under its key, and done once', async () => {
    const sent = await make();
    const path = template.replace(/\{\w+\}/, sent.path ?? '');
    const headers = { 'idempotency-key': randomUUID() };
    const first = await send(method, path, sent, headers);
    expect({ allowed: statuses.includes(first.status), status: first.status, text: first.text }).toMatchObject({ allowed: true });
    const before = await counts();
    const second = await send(method, path, sent, headers);
    expect(told(second)).toEqual(told(first));
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(await counts()).toEqual(before);
  });

  test('is done once when it is sent twice at once', async () => {
    const sent = await make();
    const path = template.replace(/\{\w+\}/, sent.path ?? '');
    const headers = { 'idempotency-key': randomUUID() };
    const [one, other] = await Promise.all([send(method, path, sent, headers), send(method, path, sent, headers)]);
    expect(told(one)).toEqual(told(other));
    expect([one, other].filter((answer) => answer.headers.get('idempotency-replayed') === 'true')).toHaveLength(1);
  });
});
