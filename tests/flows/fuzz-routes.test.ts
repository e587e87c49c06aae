import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { API_PAGE, apiPage } from '../../scripts/api-page.ts';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';

/** What of the OpenAPI document is used here. */
interface Schema {
  readonly type?: string | string[];
  readonly properties?: Record<string, Schema>;
  readonly enum?: unknown[];
  readonly items?: Schema;
  readonly anyOf?: Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly format?: string;
}
interface Operation {
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly { name: string; in: string; schema: Schema }[];
  readonly body: Schema | undefined;
}
interface Document {
  readonly paths: Record<
    string,
    Record<string, { parameters?: Operation['parameters']; requestBody?: { content: Record<string, { schema: Schema }> } }>
  >;
}

let bench: ApiBench;
let api: ApiServer;
let operations: Operation[] = [];

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await bench.startWorkers();
  await bench.addDevices(3);
  const document: Document = (await api.call('GET', '/docs/json')).body;
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [], requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      parameters,
      body: requestBody?.content['application/json']?.schema,
    })),
  );
});
afterAll(() => bench.close());

/** Texts that have broken servers before. */
const TEXTS = [
  '',
  ' ',
  '0',
  '-1',
  '1e309',
  'NaN',
  'null',
  'true',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '💣',
  '%00',
  "'; DROP TABLE devices; --",
  '../../etc',
  '__proto__',
  'x'.repeat(5_000),
  '2024-02-30T00:00:00Z',
  '0000-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999Z',
];

const junk = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...TEXTS) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  fc.constantFrom(0, -1, 1.5, 2 ** 31, 2 ** 53, 1e308, -0, true, false, null, [], {}, [[[]]], { a: { b: 1 } }),
  fc.jsonValue({ maxDepth: 3 }),
);

/** A value the schema may allow, most of the time. */
function likely(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((part) => likely(part, depth)));
  if (schema.properties !== undefined && depth < 4) {
    return fc.record(Object.fromEntries(Object.entries(schema.properties).map(([name, part]) => [name, likely(part, depth + 1)])), {
      requiredKeys: [],
    });
  }
  if (schema.format === 'uuid') return fc.uuid();
  if (schema.format === 'date-time') return fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  if (schema.type === 'integer' || schema.type === 'number') {
    return fc.integer({ min: Math.max(schema.minimum ?? 0, -(2 ** 31)), max: Math.min(schema.maximum ?? 2 ** 31, 2 ** 31) });
  }
  if (schema.type === 'null') return fc.constant(null);
  if (schema.type === 'boolean') return fc.boolean();
  if (schema.type === 'array' && schema.items !== undefined) return fc.array(likely(schema.items, depth + 1), { maxLength: 3 });
  return fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
}

/** A likely value in which, now and then, something is replaced by junk. */
const spoilt = (schema: Schema) =>
  fc.tuple(likely(schema), fc.array(fc.tuple(fc.nat(20), junk), { maxLength: 2 })).map(([value, spoils]) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return spoils[0]?.[1] ?? value;
    const names = Object.keys(schema.properties ?? {});
    return Object.assign({}, value, ...spoils.map(([index, part]) => ({ [names[index % Math.max(names.length, 1)] ?? 'x']: part })));
  });

interface Shot {
  readonly path: string;
  readonly raw: string | undefined;
  readonly headers: Record<string, string>;
}

/** One call of an operation: path, query, body and headers, each likely or not. */
function shots(operation: Operation): fc.Arbitrary<Shot> {
  const text = (schema: Schema) =>
    fc.oneof({ weight: 2, arbitrary: likely(schema).map(String) }, { weight: 1, arbitrary: fc.constantFrom(...TEXTS) });
  const pick = (place: string) => operation.parameters.filter((parameter) => parameter.in === place);
  const values = (place: string) =>
    fc.record(
      Object.fromEntries(pick(place).map(({ name, schema }) => [name, text(schema)])),
      place === 'query' ? { requiredKeys: [] } : {},
    );
  const body =
    operation.body === undefined
      ? fc.constant(undefined)
      : fc.oneof({ weight: 4, arbitrary: spoilt(operation.body) }, { weight: 1, arbitrary: junk });
  const headers = fc.record(
    {
      'idempotency-key': fc.constantFrom('', 'k', 'x'.repeat(256)),
      'x-request-id': fc.constantFrom('', 'r', 'x'.repeat(500)),
      traceparent: fc.constantFrom('nonsense', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-00`),
      'content-type': fc.constantFrom('application/json', 'text/plain', 'application/x-ndjson', 'application/json; charset=latin1', ';'),
    },
    { requiredKeys: [] },
  );
  return fc.tuple(values('path'), values('query'), body, headers, fc.nat(9)).map(([path, query, value, extra, mangle]) => ({
    path: pathOf(operation.path, path as Record<string, string>, query as Record<string, string>),
    raw: rawOf(operation, value, mangle),
    headers: { ...(value === undefined ? {} : { 'content-type': 'application/json' }), ...extra },
  }));
}

function pathOf(path: string, names: Record<string, string>, query: Record<string, string>): string {
  const filled = path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => encode(names[name] ?? '') || '%20');
  const words = Object.entries(query).map(([name, value]) => `${name}=${encode(value)}`);
  return words.length === 0 ? filled : `${filled}?${words.join('&')}`;
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

function rawOf({ method }: Operation, value: unknown, mangle: number): string | undefined {
  if (method === 'GET' || value === undefined) return undefined;
  const json = JSON.stringify(value) ?? '';
  return mangle === 0 ? json.slice(0, -1) : json;
}

async function tables(): Promise<unknown> {
  return bench.store.prisma.$queryRaw`
    SELECT (SELECT json_agg(d ORDER BY id) FROM devices d)::text AS devices, (SELECT count(*)::int FROM requests) AS requests,
           (SELECT count(*)::int FROM allocations) AS allocations, (SELECT json_agg(s ORDER BY name) FROM settings s)::text AS settings`;
}

describe('every route', () => {
  test('never answers 5xx, whatever it is sent, and always in the shape of the contract', async () => {
    const callers = [await asUser('ann', { tenantId: 't1' }), await asUser('eve', { roles: ['admin'] }), await asService()];
    for (const operation of operations) {
      await fc.assert(
        fc.asyncProperty(shots(operation), fc.constantFrom(...callers), async ({ path, raw, headers }, as) => {
          const answer = await api.call(operation.method, path, { as, headers, ...(raw === undefined ? {} : { raw }) });
          const context = `${operation.method} ${path} ${raw} → ${answer.status} ${answer.text}`;
          // Readiness says by 503 that a probe took longer than it may: on a busy machine that is so.
          if (path.startsWith('/ready') && answer.status === 503) return;
          if (answer.status >= 500) throw new Error(context);
          if (
            answer.status >= 400 &&
            (answer.body?.success !== false || answer.body.statusCode !== answer.status || !Array.isArray(answer.body.message))
          ) {
            throw new Error(`not an error of the contract: ${context}`);
          }
          expect(answer.headers.get('x-request-id')).toBeTruthy();
        }),
        { numRuns: 40 },
      );
    }
  }, 300_000);

  test('changes nothing when it refuses, and names the unknown field', async () => {
    const as = await asService();
    const before = await tables();
    for (const operation of operations.filter(({ path }) => path.startsWith('/scheduler'))) {
      const path = operation.path.replace('{id}', randomUUID());
      if (operation.body === undefined) {
        const { body } = await api.call(operation.method, `${path}?wheels=4`, { as });
        expect([path, body]).toEqual([
          path,
          expect.objectContaining({ code: 'VALIDATION_FAILED', details: { field: 'wheels', fields: ['wheels'] } }),
        ]);
        continue;
      }
      await fc.assert(
        fc.asyncProperty(likely(operation.body), async (value) => {
          const { status, body } = await api.call(operation.method, path, { as, body: { ...(value as object), wheels: 4 } });
          expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
          expect(body.details.fields).toContain('wheels');
        }),
        { numRuns: 10 },
      );
    }
    expect(await tables()).toEqual(before);
  }, 60_000);

  test('keeps secrets to itself', async () => {
    const secrets = ['10.9.8.7', '"adbPort"', 'the key of', 'postgres', 'node_modules', 'SELECT', 'prisma'];
    const [id] = (await bench.store.prisma.device.findMany({ take: 1 })).map((device) => device.id);
    for (const { method, path } of operations) {
      for (const as of [{}, await asUser('ann'), await asService()]) {
        const { text } = await api.call(method, path.replace('{id}', id ?? ''), { as });
        if (path === '/ready' || path === '/metrics') continue;
        for (const secret of secrets) expect([method, path, text]).not.toEqual([method, path, expect.stringContaining(secret)]);
      }
    }
  });
});

describe('the HTTP of it', () => {
  test('unknown paths are 404, known ones under another method 405 with Allow', async () => {
    expect((await api.call('GET', '/scheduler/nothing')).body).toMatchObject({
      statusCode: 404,
      code: 'NOT_FOUND',
      path: '/scheduler/nothing',
    });
    const { status, headers } = await api.call('PATCH', '/scheduler/config');
    expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  test('a body that is no JSON, too large or of another type is refused by name', async () => {
    const as = await asUser('ann');
    const post = async (raw: string, type = 'application/json') =>
      (await api.call('POST', '/scheduler/devices/allocate', { as, raw, headers: { 'content-type': type } })).body;
    expect(await post('{"userId":')).toMatchObject({ statusCode: 400, message: ['The body is not valid JSON.'] });
    expect(await post(JSON.stringify({ userId: 'x'.repeat(1_100_000) }))).toMatchObject({ statusCode: 413, code: 'PAYLOAD_TOO_LARGE' });
    expect(await post('<a/>', 'text/xml')).toMatchObject({ statusCode: 415, code: 'UNSUPPORTED_MEDIA_TYPE' });
    expect(await post('{"__proto__":{"admin":true},"userId":"ann"}')).toMatchObject({ statusCode: 400 });
    expect(await post('')).toMatchObject({ statusCode: 400, code: 'VALIDATION_FAILED', details: { field: 'body' } });
  });

  test('a path that is no URL and ids that are none are 400', async () => {
    const as = await asUser('ann');
    expect((await api.call('GET', '/scheduler/requests/%E0%A4%A', { as })).body).toMatchObject({
      statusCode: 400,
      code: 'VALIDATION_FAILED',
    });
    expect((await api.call('GET', `/scheduler/requests/${'x'.repeat(300)}`, { as })).status).toBe(400);
    expect((await api.call('GET', '/scheduler/allocations/12', { as })).body).toMatchObject({ statusCode: 400, details: { field: 'id' } });
  });

  test('the id of a request is taken, made from its trace, or made up', async () => {
    const id = async (headers: Record<string, string>) => (await api.call('GET', '/health', { headers })).headers.get('x-request-id');
    expect(await id({ 'x-request-id': 'order-17' })).toBe('order-17');
    expect(await id({ traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' })).toBe(
      '4bf92f35-77b3-4da6-a3ce-929d0e0e4736',
    );
    expect(await id({ 'x-request-id': 'two words' })).toMatch(/^[0-9a-f-]{36}$/);
    expect(await id({ traceparent: `00-${'0'.repeat(32)}-00f067aa0ba902b7-01` })).not.toMatch(/^0{8}/);
  });

  test('the pages are closed in production, and only there', async () => {
    const closed = await bench.start({ production: true });
    expect((await closed.call('GET', '/docs/json')).status).toBe(404);
    expect((await closed.call('GET', '/docs')).status).toBe(404);
    await closed.close();
    const page = await api.call('GET', '/docs/');
    expect([page.status, page.text.includes('Swagger UI')]).toEqual([200, true]);
    const { body } = await api.call('GET', '/docs/json');
    expect(body.openapi).toBe('3.1.0');
  });

  test('the page of reference says what the document says; else: node scripts/generate-api-page.ts', async () => {
    expect(readFileSync(API_PAGE, 'utf8')).toBe(apiPage((await api.call('GET', '/docs/json')).body));
  });
});
