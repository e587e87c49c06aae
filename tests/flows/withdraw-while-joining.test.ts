import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { cancelOwnRequest } from '../../shared/store/cancel-request.ts';
import { cancelRequest, insertRequest } from '../../shared/store/requests.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { eventually } from '../support/eventually.ts';
import { requestOf } from '../support/kill-bench.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await createTestDatabase();
  const timeouts = { acquireTimeoutMs: 5_000, statementTimeoutMs: 10_000 };
  store = createStore({ databaseUrl: database.url, poolSize: 3, applicationName: 'test', ...timeouts });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

const WAYS = {
  'the API': (id: string) => cancelRequest(store, id, { kind: 'all' }),
  'the client': async (id: string) => (await cancelOwnRequest(store, id, 'test')) === 'cancelled',
} as const;

test.each(Object.entries(WAYS))(
  'a request withdrawn through %s in the moment it begins to wait has left the queue, and that is told',
  async (_way, withdraw) => {
    const request = requestOf('ann');
    await insertRequest(store, request);
    let withdrawn: Promise<boolean> | undefined;
    await store.transaction(async (tx) => {
      await tx.$executeRaw`UPDATE requests SET status = 'waiting', waiting_since = now(), flow = 'u:ann', rank_at = now(), needs = '{0,0,0,0,1,1,1}'
      WHERE id = ${request.requestId}::uuid`;
      withdrawn = withdraw(request.requestId);
      await eventually(async () => {
        const waiting = await store.prisma
          .$queryRaw`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
        expect(waiting).toHaveLength(1);
      });
    });
    expect(await withdrawn).toBe(true);
    const told = await store.prisma.outboxEntry.findMany({ where: { key: request.requestId } });
    expect(told.map(({ topic }) => topic)).toEqual(['scheduler.queue.cancelled']);
  },
);
