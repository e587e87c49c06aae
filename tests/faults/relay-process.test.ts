import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { outboxStates, steps, writeOutbox } from '../support/outbox-rows.ts';
import { type ArrivedBody, openRelayBench, type RelayBench } from '../support/relay-bench.ts';
import { type RelayProcess, spawnRelay } from '../support/relay-process.ts';

const KEYS = 200;
const PER_KEY = 10;

let bench: RelayBench;
const processes: RelayProcess[] = [];

beforeEach(async () => {
  bench = await openRelayBench();
});

afterEach(async () => {
  await Promise.all(processes.splice(0).map((relay) => relay.end('SIGKILL')));
  await bench.close();
});

function spawnHere(more: Readonly<Record<string, string>> = {}): RelayProcess {
  const relay = spawnRelay({ DATABASE_URL: bench.databaseUrl, QUEUE_PREFIX: bench.prefix, ...more });
  processes.push(relay);
  return relay;
}

/** The first arrival of each event counts; the rest are repeats. */
function withoutRepeats(bodies: readonly ArrivedBody[]): ArrivedBody[] {
  const seen = new Set<string>();
  return bodies.filter(({ eventId }) => !seen.has(eventId) && seen.add(eventId));
}

test('kill -9 of the leading relay under load: another goes on, nothing is lost, order is kept', async () => {
  const listener = await bench.listen('#');
  // In its third round of ten, when RabbitMQ has the events and that is not noted.
  const first = spawnHere({ NODE_OPTIONS: '--import ./chaos/arm-fault-point.ts', FAULT_POINT: 'publish.2', FAULT_TIMES: '3' });
  const died = once(first.child, 'exit');
  await first.leads();
  const second = spawnHere();
  const rows = steps(KEYS, PER_KEY);
  await writeOutbox(bench.store, rows);
  await eventually(() => expect(bench.bodiesFor(listener, rows).length).toBeGreaterThan(0));
  expect(await died).toEqual([null, 'SIGKILL']);
  expect((await outboxStates(bench.store, 'event'))['pending']).toBeGreaterThan(0);

  await second.leads();
  await eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: KEYS * PER_KEY }), 60_000);
  const arrived = await eventually(() => {
    const events = withoutRepeats(bench.bodiesFor(listener, rows));
    expect(events).toHaveLength(KEYS * PER_KEY);
    return events;
  });
  const inOrder = Array.from({ length: PER_KEY }, (_, step) => step);
  expect(bench.stepsByKey(arrived)).toEqual(Array.from({ length: KEYS }, () => inOrder));
}, 180_000);

test('SIGTERM ends the relay with 0 and leaves the lead to the next at once', async () => {
  const first = spawnHere();
  await first.leads();
  expect(await first.end('SIGTERM')).toBe(0);
  expect(await bench.store.prisma.lease.count()).toBe(0);
}, 180_000);
