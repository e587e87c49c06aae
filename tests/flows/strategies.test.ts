import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { createLogger } from '../../shared/logger.ts';
import { RESOURCE_BASED, STRATEGY_TYPES } from '../../shared/placement/strategy.ts';
import { tidyStrategies } from '../../shared/store/strategies.ts';
import { watchStrategy } from '../../shared/store/strategy-watch.ts';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';

let bench: ApiBench;
let api: ApiServer;
let client: pg.Client;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  client = new pg.Client({ connectionString: bench.databaseUrl });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await bench.close();
});

const call = async (method: string, path: string, body?: unknown) =>
  (await api.call(method, `/scheduler/strategies${path}`, { as: await asService(), ...(body === undefined ? {} : { body }) })).body;
const active = async () => (await call('GET', '/active')).data;
const make = async (words: object) => (await call('POST', '', words)).data;

const indexesOfDevices = async () =>
  (await client.query<{ name: string }>("SELECT indexname AS name FROM pg_indexes WHERE tablename = 'devices' ORDER BY 1")).rows.map(
    ({ name }) => name,
  );

describe('the strategies', () => {
  test('are there from the start, one of each type, the default in force', async () => {
    const { data } = await call('GET', '?limit=100');
    expect(data.items.map(({ type }: { type: string }) => type).toSorted()).toEqual(STRATEGY_TYPES.toSorted());
    expect(data).toMatchObject({ total: STRATEGY_TYPES.length, nextCursor: null });
    expect(await active()).toMatchObject({ name: 'resource_based', type: 'resource_based', active: true, config: {}, priority: 100 });
  });

  test('are stored, read, changed and deleted', async () => {
    const made = await make({ name: 'mine', type: 'weighted_round_robin', config: { cpu: 80 }, priority: 7, description: 'CPU first' });
    expect(made).toMatchObject({ active: false, config: { cpu: 80, memory: 50 }, priority: 7, description: 'CPU first' });
    expect((await call('GET', `/${made.id}`)).data).toEqual(made);
    const changed = (await call('PUT', `/${made.id}`, { name: 'ours', type: 'least_connection', config: { window: 5 } })).data;
    expect(changed).toMatchObject({
      id: made.id,
      name: 'ours',
      type: 'least_connection',
      config: { window: 5 },
      priority: 100,
      description: null,
    });
    expect((await call('DELETE', `/${made.id}`)).data).toEqual({ id: made.id });
    for (const gone of [
      await call('GET', `/${made.id}`),
      await call('DELETE', `/${made.id}`),
      await call('POST', `/${made.id}/activate`),
    ]) {
      expect(gone).toMatchObject({ statusCode: 404, code: 'STRATEGY_NOT_FOUND' });
    }
    expect(await call('PUT', `/${randomUUID()}`, { name: 'x', type: 'round_robin' })).toMatchObject({ statusCode: 404 });
  });

  test('are listed page by page, the highest priority first', async () => {
    const made = await make({ name: 'first', type: 'round_robin', priority: 1000 });
    const names: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { data } = await call('GET', `?limit=4${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`);
      names.push(...data.items.map(({ name }: { name: string }) => name));
      cursor = data.nextCursor;
    }
    expect(names).toEqual(['first', ...STRATEGY_TYPES.toSorted()]);
    await call('DELETE', `/${made.id}`);
  });

  test('are refused with the name of the field that is wrong', async () => {
    const refused = (body: object) => call('POST', '', { name: 'x', type: 'round_robin', ...body });
    expect(await refused({ type: 'dice' })).toMatchObject({ statusCode: 400, details: { field: 'type' } });
    expect(await refused({ priority: 1001 })).toMatchObject({ statusCode: 400, details: { field: 'priority' } });
    expect(await refused({ name: '' })).toMatchObject({ statusCode: 400, details: { field: 'name' } });
    expect(await refused({ weight: 1 })).toMatchObject({ statusCode: 400, details: { field: 'weight' } });
    expect(await refused({ config: { window: 1 } })).toMatchObject({ statusCode: 400, details: { field: 'config.window' } });
    expect(await refused({ type: 'weighted_round_robin', config: { cpu: '5' } })).toMatchObject({ details: { field: 'config.cpu' } });
    expect(await refused({ name: 'round_robin' })).toMatchObject({
      statusCode: 409,
      code: 'STRATEGY_NAME_TAKEN',
      details: { field: 'name' },
    });
    expect(await call('GET', '/not-an-id')).toMatchObject({ statusCode: 400 });
  });

  test('are not for users', async () => {
    expect((await api.call('GET', '/scheduler/strategies', { as: await asUser('ann') })).status).toBe(403);
    expect((await api.call('GET', '/scheduler/strategies', { as: await asUser('eve', { roles: ['admin'] }) })).status).toBe(200);
  });
});

describe('exactly one strategy is in force', () => {
  test('the one that was activated last; it cannot be deleted', async () => {
    const made = await make({ name: 'cheap', type: 'cost_optimization' });
    expect((await call('POST', `/${made.id}/activate`)).data).toMatchObject({ id: made.id, active: true });
    expect(await active()).toMatchObject({ id: made.id });
    expect(await call('DELETE', `/${made.id}`)).toMatchObject({ statusCode: 409, code: 'STRATEGY_ACTIVE' });
    expect((await call('GET', '?limit=100')).data.items.filter((one: { active: boolean }) => one.active)).toHaveLength(1);
  });

  test('of many that are activated at once', async () => {
    const ids = (await call('GET', '?limit=100')).data.items.map(({ id }: { id: string }) => id);
    const answers = await Promise.all(ids.map((id: string) => call('POST', `/${id}/activate`)));
    expect(answers.map(({ success }) => success)).toEqual(ids.map(() => true));
    expect((await call('GET', '?limit=100')).data.items.filter((one: { active: boolean }) => one.active)).toHaveLength(1);
  });

  test('whatever plain SQL tries', async () => {
    for (const attempt of ['DELETE FROM strategies WHERE active', 'UPDATE strategies SET active = false', 'DELETE FROM strategies']) {
      await expect(client.query(attempt)).rejects.toMatchObject({ constraint: 'strategies_always_one_active' });
    }
    await expect(client.query('UPDATE strategies SET active = true WHERE NOT active')).rejects.toMatchObject({
      constraint: 'strategies_one_active',
    });
  });

  test('by its type: the one of the highest priority, made if there is none', async () => {
    const choose = async (strategy: string) =>
      (await api.call('POST', '/scheduler/allocations/strategy', { as: await asService(), body: { strategy } })).body;
    const better = await make({ name: 'better', type: 'least_connection', priority: 200, config: { window: 9 } });
    expect(await choose('least_connection')).toMatchObject({ success: true, data: { strategy: 'least_connection' } });
    expect(await active()).toMatchObject({ id: better.id });
    await client.query("DELETE FROM strategies WHERE type = 'round_robin'");
    await choose('round_robin');
    expect(await active()).toMatchObject({ name: 'round_robin', type: 'round_robin', config: {} });
  });
});

describe('a change of strategy', () => {
  test('is seen by every worker, and so is a change of the settings of the one in force', async () => {
    const logger = createLogger('test', 'silent');
    const watches = await Promise.all([1, 2].map(() => watchStrategy(bench.store, RESOURCE_BASED, logger)));
    const seen = (config: object) =>
      eventually(() => expect(watches.map((watch) => watch.current())).toEqual(watches.map(() => ({ type: 'least_connection', config }))));
    try {
      const made = await make({ name: 'watched', type: 'least_connection' });
      await call('POST', `/${made.id}/activate`);
      await seen({ window: 1_000 });
      await call('PUT', `/${made.id}`, { name: 'watched', type: 'least_connection', config: { window: 3 } });
      await seen({ window: 3 });
    } finally {
      await Promise.all(watches.map((watch) => watch.close()));
    }
  });

  test('brings its indexes, and those of the one before go when nobody walks them any more', async () => {
    const byType = async (type: string) =>
      api.call('POST', '/scheduler/allocations/strategy', { as: await asService(), body: { strategy: type } });
    const settle = () => client.query("UPDATE strategies SET updated_at = now() - interval '1 minute' WHERE active");
    await byType('resource_based');
    await settle();
    await tidyStrategies(bench.store);
    const without = await indexesOfDevices();
    expect(without.filter((name) => /turn|used|smallest|cheapest|node/.test(name))).toEqual([]);

    await byType('round_robin');
    expect(await indexesOfDevices()).toEqual([...without, 'devices_place_in_turn', 'devices_place_in_turn_of_type'].toSorted());
    await byType('resource_based');
    expect(await tidyStrategies(bench.store)).toEqual([]);
    await settle();
    expect((await tidyStrategies(bench.store)).toSorted()).toEqual(['devices_place_in_turn', 'devices_place_in_turn_of_type']);
    expect(await indexesOfDevices()).toEqual(without);
  });
});
