import { afterEach, describe, expect, test } from '@jest/globals';
import { Gauge, Registry } from 'prom-client';
import { createLogger } from '../logger.ts';
import { type MetricsServer, type MetricsServerOptions, startMetricsServer } from './metrics-server.ts';

let server: MetricsServer | undefined;

async function start(options: Partial<MetricsServerOptions> = {}): Promise<string> {
  server = await startMetricsServer({
    host: '127.0.0.1',
    port: 0,
    registry: new Registry(),
    health: () => ({ redis: true }),
    logger: createLogger('test', 'silent'),
    ...options,
  });
  return `http://127.0.0.1:${server.port}`;
}

afterEach(async () => {
  await server?.close();
  server = undefined;
});

describe('the metrics listener', () => {
  test('gives out the metrics of the process', async () => {
    const registry = new Registry();
    new Gauge({ name: 'things', help: 'Things', registers: [registry] }).set(7);
    const answer = await fetch(`${await start({ registry })}/metrics?now`);
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain/);
    expect(await answer.text()).toMatch(/^things 7\n/m);
  });

  test.each([
    [true, 200],
    [false, 503],
  ])('says whether every part is well (%s)', async (redis, status) => {
    const answer = await fetch(`${await start({ health: () => ({ redis, worker: true }) })}/health`);
    expect([answer.status, await answer.json()]).toEqual([status, { ok: redis, redis, worker: true }]);
  });

  test('knows no other page', async () => {
    expect((await fetch(`${await start()}/`)).status).toBe(404);
  });

  test('answers 500 when a metric cannot be collected', async () => {
    const registry = new Registry();
    const collect = () => Promise.reject(new Error('not today'));
    registry.registerMetric(new Gauge({ name: 'broken', help: 'Broken', registers: [], collect }));
    const answer = await fetch(`${await start({ registry })}/metrics`);
    expect([answer.status, await answer.text()]).toEqual([500, 'not today']);
  });

  test('cannot take an address that is taken', async () => {
    const port = Number(new URL(await start()).port);
    const options = { host: '127.0.0.1', port, registry: new Registry(), health: () => ({}), logger: createLogger('test', 'silent') };
    await expect(startMetricsServer(options)).rejects.toThrow('EADDRINUSE');
  });
});
