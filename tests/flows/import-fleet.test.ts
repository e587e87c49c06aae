import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';

let bench: ApiBench;
let api: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices CASCADE`);
});

const device = (changes: object = {}) =>
  JSON.stringify({
    id: randomUUID(),
    name: 'a phone',
    type: 'phone',
    status: 'running',
    providerType: 'redroid',
    cpuCores: 4,
    memoryMB: 4096,
    storageMB: 65_536,
    ...changes,
  });

const send = async (raw: string | ReadableStream, as?: Record<string, string>, type = 'application/x-ndjson') =>
  api.call('POST', '/scheduler/devices/import', { as: as ?? (await asService()), raw, headers: { 'content-type': type } });

describe('POST /scheduler/devices/import', () => {
  test('creates and updates, and names every wrong line by its number', async () => {
    const known = randomUUID();
    await send(device({ id: known }));
    const lines = [
      device(),
      device({ id: known, name: 'renamed' }),
      '{"id":',
      '',
      device({ cpuCores: '4' }),
      device({ wheels: 4 }),
      '[]',
      device({ name: 'x'.repeat(70_000) }),
      device({ name: 'a\u0000b' }),
      device().replace('a phone', '\\ud800'),
      ` ${device()}\r`,
    ];

    const { status, body } = await send(lines.join('\n'));

    expect(status).toBe(200);
    expect(body.data).toMatchObject({ received: 10, created: 2, updated: 1, failed: 7 });
    expect(body.data.errors.map(({ line }: { line: number }) => line)).toEqual([3, 5, 6, 7, 8, 9, 10]);
    expect(body.data.errors[1]).toMatchObject({ code: 'VALIDATION_FAILED', message: expect.stringContaining('cpuCores') });
    expect(body.data.errors[2].message).toContain('wheels');
    expect(await bench.store.prisma.device.count()).toBe(3);
    expect(await bench.store.prisma.device.findUniqueOrThrow({ where: { id: known } })).toMatchObject({ name: 'renamed' });
  });

  test('counts a device named twice as created and updated, the later line wins', async () => {
    const id = randomUUID();
    const { body } = await send([device({ id }), device({ id: id.toUpperCase(), name: 'later' })].join('\n'));
    expect(body.data).toMatchObject({ received: 2, created: 1, updated: 1, failed: 0 });
    expect(await bench.store.prisma.device.findUniqueOrThrow({ where: { id } })).toMatchObject({ name: 'later' });
  });

  test('leaves alone what belongs to another tenant', async () => {
    const [own, foreign] = [randomUUID(), randomUUID()];
    await send([device({ id: own, tenantId: 't1' }), device({ id: foreign, tenantId: 't2' })].join('\n'));
    const admin = await asUser('eve', { roles: ['admin'], tenantId: 't1' });

    const { body } = await send(
      [device({ id: own, status: 'deleted' }), device({ id: foreign }), device({ tenantId: 't2' }), device()].join('\n'),
      admin,
    );

    expect(body.data).toMatchObject({ received: 4, created: 1, updated: 1, failed: 2 });
    expect(body.data.errors.map(({ code }: { code: string }) => code)).toEqual(['FORBIDDEN', 'FORBIDDEN']);
  });

  test('streams more lines than it keeps', async () => {
    const count = 20_000;
    const lines = Readable.from(
      (function* () {
        for (let index = 0; index < count; index += 1)
          yield `${device({ name: `device ${index}` })}\n${index % 10 === 0 ? 'rubbish\n' : ''}`;
      })(),
    );

    const { body } = await send(Readable.toWeb(lines) as ReadableStream);

    expect(body.data).toMatchObject({ received: count * 1.1, created: count, failed: count / 10 });
    expect(body.data.errors).toHaveLength(1_000);
    expect(await bench.store.prisma.device.count()).toBe(count);
  });

  test('says in the OpenAPI page what a line is', async () => {
    const { body } = await api.call('GET', '/docs/json');
    const { content } = body.paths['/scheduler/devices/import'].post.requestBody;
    expect(Object.keys(content)).toEqual(['application/x-ndjson', 'application/ndjson', 'application/jsonl']);
    expect(content['application/x-ndjson'].schema).toMatchObject({
      type: 'object',
      required: expect.arrayContaining(['id', 'name', 'cpuCores']),
      properties: { id: { type: 'string' }, type: { enum: ['phone', 'tablet'] } },
    });
  });

  test('takes lines only', async () => {
    expect((await send(device(), undefined, 'application/json')).body).toMatchObject({ statusCode: 415, code: 'UNSUPPORTED_MEDIA_TYPE' });
    expect((await send(device(), undefined, 'text/csv')).body).toMatchObject({ statusCode: 415 });
    expect((await api.call('POST', '/scheduler/devices/import', { as: await asService() })).status).toBe(415);
    expect((await send('')).body.data).toMatchObject({ received: 0, created: 0, failed: 0 });
  });
});
