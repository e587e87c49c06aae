import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { signToken } from '../../cli/token.ts';
import type { Cluster } from '../../dev/cluster/start-cluster.ts';
import { SchedulerClient } from '../../queues/client.ts';
import { type ClusterBench, openClusterBench } from '../support/cluster-bench.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { redisUrl } from '../support/redis.ts';

const PATIENCE_MS = 20_000;
/** Who asks over HTTP, and who by the client, all the time. */
const CALLERS = 6;
const SERVICES = 2;

let bench: ClusterBench;
let clusters: readonly [Cluster, Cluster];

beforeAll(async () => {
  bench = await openClusterBench({ RATE_LIMIT_READ: '1000000', RATE_LIMIT_WRITE: '1000000' });
  clusters = [bench.cluster, await bench.beside()];
  await addDevices(bench.store, alike(2 * (CALLERS + SERVICES)));
}, 120_000);

afterAll(() => bench.close(), 60_000);

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: { readonly data: Record<string, string> };
}

/** One call on a connection of its own, as from a proxy that keeps none. Rejects with ECONNREFUSED where nobody listens. */
async function send(api: string, method: string, path: string, token: string, key: string, body: object): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const headers = { authorization: `Bearer ${token}`, 'idempotency-key': key, 'content-type': 'application/json' };
  request(`${api}${path}`, { method, headers, agent: false }, (response) => {
    const { statusCode: status = 0, headers: heard } = response;
    text(response).then((said) => resolve({ status, retryAfter: heard['retry-after'], body: JSON.parse(said) }), reject);
  })
    .once('error', reject)
    .end(JSON.stringify(body));
  return promise;
}

/** What callers have seen that they should not. */
const complaints: string[] = [];
let turns = 0;

/** Asks one API after the other, under the same key, until one has done it; there may be nobody, or 503 with when to come again. */
async function ask(method: string, path: string, token: string, body: object): Promise<Answer> {
  const key = randomUUID();
  return eventually(async () => {
    turns += 1;
    const api = clusters[turns % 2 === 0 ? 0 : 1].addresses.api;
    try {
      const answer = await send(api, method, path, token, key, body);
      if (answer.status < 300) return answer;
      if (answer.status !== 503 || answer.retryAfter === undefined) complaints.push(`${method} ${path}: ${JSON.stringify(answer)}`);
      throw new Error(`${method} ${path} is answered ${answer.status}`);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code !== 'ECONNREFUSED')
        complaints.push(`${method} ${path}: ${error.message}`);
      throw error;
    }
  }, PATIENCE_MS);
}

/** Allocations that were given back, and requests nobody waited out. */
interface Served {
  readonly released: string[];
  readonly later: string[];
}

/** Takes a device and gives it back, again and again; what is decided later is left to be seen in the end. */
async function keepCalling(userId: string, go: () => boolean): Promise<Served> {
  const token = await signToken({ user: userId, expiresIn: '600' }, bench.secrets);
  const served: Served = { released: [], later: [] };
  while (go()) {
    const { status, body } = await ask('POST', '/scheduler/devices/allocate', token, { userId, waitMs: PATIENCE_MS });
    const { allocationId = '', requestId = '' } = body.data;
    if (status === 201) await ask('POST', '/scheduler/devices/release', token, { allocationId });
    if (status === 201) served.released.push(allocationId);
    else served.later.push(requestId);
  }
  return served;
}

/** The same by the client of another service, which reaches the workers without an API. */
async function keepServing(userId: string, go: () => boolean): Promise<Served> {
  const client = new SchedulerClient({ redis: { url: redisUrl() }, service: 'shop', prefix: bench.prefix });
  const served: Served = { released: [], later: [] };
  while (go()) {
    const result = await client.allocate(userId, {}, { timeoutMs: PATIENCE_MS });
    if (result.status !== 'granted') {
      complaints.push(`${userId}: ${JSON.stringify(result)}`);
      continue;
    }
    const { allocationId } = result.allocation;
    const released = await client.release({ allocationId }, { timeoutMs: PATIENCE_MS });
    if (released.status === 'released') served.released.push(allocationId);
    else complaints.push(`${userId}: ${JSON.stringify(released)}`);
  }
  await client.close();
  return served;
}

/** As an orchestrator does: of every kind at once, of a kind one at a time; the next ones when these work. */
async function restart({ processes }: Cluster): Promise<void> {
  const ours = processes.filter(({ name }) => name !== 'stand-ins');
  const before = ours.map(({ replacements }) => replacements);
  for (const process of ours) process.kill('SIGTERM');
  await eventually(() => {
    const waiting = ours.filter(({ replacements }, index) => replacements === before[index]).map(({ name }) => name);
    expect(waiting).toEqual([]);
  }, 40_000);
  expect(await Promise.all(ours.map((process) => process.healthy(30_000)))).not.toContain(false);
}

test('every process is restarted under load, and nobody is told more than to come again; nothing is lost', async () => {
  let going = true;
  const go = () => going;
  const named = (name: string, count: number) => Array.from({ length: count }, (_, index) => `${name}-${index}`);
  const callers = [
    ...named('caller', CALLERS).map((userId) => keepCalling(userId, go)),
    ...named('served', SERVICES).map((userId) => keepServing(userId, go)),
  ];
  for (const cluster of clusters) {
    await restart(cluster);
  }
  going = false;
  const served = await Promise.all(callers);
  expect(complaints).toEqual([]);
  const died = bench.events.flatMap((event) => (event.kind === 'died' ? [`${event.name}: ${event.how}`] : []));
  expect(died).toHaveLength(2 * clusters[1].processes.length);
  expect(died.filter((how) => !how.endsWith('exit code 0'))).toEqual([]);

  const [released, later] = [served.flatMap((each) => each.released), served.flatMap((each) => each.later)];
  const { prisma } = bench.store;
  await eventually(async () => {
    const ended = await prisma.allocation.findMany({ where: { id: { in: released } }, select: { status: true } });
    expect(ended.map(({ status }) => status)).toEqual(released.map(() => 'released'));
    const decided = await prisma.request.findMany({ where: { id: { in: later } }, select: { status: true } });
    expect(decided.map(({ status }) => status)).toEqual(later.map(() => 'granted'));
    expect(await prisma.allocation.count()).toBe(released.length + later.length);
    // Each end is billed, and each bill has arrived.
    const bills = await prisma.ledgerEntry.groupBy({ by: ['status'], _count: true });
    expect(bills).toEqual([{ status: 'settled', _count: released.length }]);
  }, 30_000);
  expect(released.length).toBeGreaterThan(clusters.length * CALLERS);
  expect(await readInvariants(bench.store)).toEqual([]);
}, 120_000);
