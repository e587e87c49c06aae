import { hash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { eventJob } from '../../queues/jobs/event.ts';
import { QUEUES } from '../../queues/names.ts';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { CONSUMED_QUEUES, CONSUMED_TOPICS, type ConsumedTopic } from '../../shared/consumed/topics.ts';
import { createEventFaults, type EventFaults } from '../support/event-faults.ts';
import { type EventListener, listenToEvents } from '../support/event-listener.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { type ListenerBench, openListenerBench } from '../support/listener-bench.ts';
import { redisUrl } from '../support/redis.ts';
import { type Wired, wire } from '../support/wire.ts';

let wired: Wired;
let bench: ListenerBench;
let faults: EventFaults;
let jobs: Queue;
let dead: EventListener;

beforeAll(async () => {
  wired = await wire();
  bench = await openListenerBench(wired);
  faults = createEventFaults(wired.store);
  jobs = new Queue(QUEUES.event, { connection: { url: redisUrl() }, prefix: wired.prefix });
  dead = await listenToEvents(`${bench.queuePrefix}.#`, {}, 'cloudphone.dlx');
  // Whoever loses a device gets no other one here: what an event has done is to stay as it is.
  await bench.start({ store: faults.store, relocate: false });
});

afterAll(async () => {
  await dead.close();
  await jobs.close();
  await bench.close();
  await wired.close();
});

const PATIENCE_MS = 20_000;
const db = () => wired.store.prisma;

/** Something an event may happen to: what is said of it, and how it stands. */
interface Subject {
  readonly body: Readonly<Record<string, unknown>>;
  readonly look: () => Promise<unknown>;
  readonly after: unknown;
}

async function holder(count: number) {
  const region = randomUUID();
  await addDevices(wired.store, alike(count, { region, type: 'tablet' }));
  const userId = `user-${randomUUID()}`;
  const held = [];
  for (let index = 0; index < count; index += 1)
    held.push(granted(await wired.allocate(userId, { devicePreferences: { deviceType: 'tablet', region } })));
  return { userId, deviceId: held[0]?.deviceId ?? '' };
}

function granted(outcome: AllocateOutcome) {
  if (outcome.status !== 'granted') throw new Error(`expected a grant, got ${JSON.stringify(outcome)}`);
  return outcome.allocation;
}

const someone = async (state: { readonly state?: string; readonly arrearsSince?: Date } = {}) =>
  (await db().user.create({ data: { id: `user-${randomUUID()}`, ...state } })).id;
const device = async (id: string) => db().device.findUnique({ where: { id } });
const statusOf = async (id: string) => (await device(id))?.status;
const ends = async (userId: string) =>
  (await db().allocation.findMany({ where: { userId }, orderBy: { allocatedAt: 'asc' } })).map(({ endReason }) => endReason);
const alerts = async (userId: string) =>
  (await db().outboxEntry.findMany({ where: { channel: 'notice', key: userId, topic: 'billing_alert' }, orderBy: { id: 'asc' } })).map(
    ({ payload }) => (payload as { data: { alert: string } }).data.alert,
  );
const userOf = (id: string) => db().user.findUnique({ where: { id } });

/** A held device goes out of service. */
async function loses(said: object, status: string, reason: string): Promise<Subject> {
  const { userId, deviceId } = await holder(1);
  return { body: { deviceId, ...said }, look: async () => [await statusOf(deviceId), await ends(userId)], after: [status, [reason]] };
}

async function fares(said: Readonly<Record<string, number>>): Promise<Subject> {
  const [deviceId = ''] = await addDevices(wired.store, alike(1, { type: 'tablet', region: randomUUID() }));
  return { body: { deviceId, ...said }, look: () => device(deviceId), after: expect.objectContaining(said) };
}

async function blocked(state: string): Promise<Subject> {
  const { userId } = await holder(1);
  return { body: { userId }, look: async () => [(await userOf(userId))?.state, await ends(userId)], after: [state, [`user_${state}`]] };
}

async function limited(limit: object): Promise<Subject> {
  const { userId } = await holder(2);
  return { body: { userId, ...limit }, look: () => ends(userId), after: ['quota_reduced', null] };
}

async function inArrears(): Promise<Subject> {
  const { userId } = await holder(1);
  const look = async () => [(await userOf(userId))?.arrearsSince !== null, await ends(userId), await alerts(userId)];
  return { body: { userId, overdueAmount: '12.50', overdueDays: 3 }, look, after: [true, ['arrears'], ['arrears']] };
}

async function warned(): Promise<Subject> {
  const userId = await someone();
  return { body: { userId, currentBalance: 1.5, threshold: 5 }, look: () => alerts(userId), after: ['balance_low'] };
}

async function paid(): Promise<Subject> {
  const userId = await someone({ arrearsSince: new Date() });
  const look = async () => [(await userOf(userId))?.arrearsSince, await alerts(userId)];
  return { body: { userId, amount: 12.5, newBalance: 20 }, look, after: [null, ['restored']] };
}

/** Every routing key we listen to, and what it is seen by: complete by its type. */
const SUBJECTS: Readonly<Record<ConsumedTopic, () => Promise<Subject>>> = {
  'device.created': async () => {
    const deviceId = randomUUID();
    const size = { cpuCores: 2, memoryMB: 2048, storageMB: 4096 };
    const body = { deviceId, name: 'new', type: 'tablet', region: deviceId, ...size };
    return { body, look: () => device(deviceId), after: expect.objectContaining({ status: 'creating', cpuCores: 2, type: 'tablet' }) };
  },
  'device.started': async () => {
    const [deviceId = ''] = await addDevices(wired.store, alike(1, { type: 'tablet', region: randomUUID(), status: 'stopped' }));
    return { body: { deviceId }, look: () => statusOf(deviceId), after: 'running' };
  },
  'device.status_changed': () => loses({ newStatus: 'error' }, 'error', 'device_failed'),
  'device.stopped': () => loses({ reason: 'asked' }, 'stopped', 'device_failed'),
  'device.error': () => loses({}, 'error', 'device_failed'),
  'device.failed': () => loses({}, 'error', 'device_failed'),
  'device.permanent_failure': () => loses({}, 'error', 'device_failed'),
  'device.maintenance': () => loses({ maintenanceType: 'planned' }, 'maintenance', 'device_maintenance'),
  'device.deleted': () => loses({}, 'deleted', 'device_deleted'),
  'device.health': () => fares({ healthScore: 40 }),
  'device.usage': () => fares({ cpuUsage: 12, memoryUsage: 34, storageUsage: 56 }),
  'user.deleted': () => blocked('deleted'),
  'user.suspended': () => blocked('suspended'),
  'user.activated': async () => {
    const userId = await someone({ state: 'suspended' });
    return { body: { userId }, look: async () => (await userOf(userId))?.state, after: 'active' };
  },
  'user.quota_updated': () => limited({ newQuota: { maxDevices: 1 } }),
  'quota.updated': () => limited({ limits: { maxDevices: 1 } }),
  'user.quota_exceeded': () => limited({ limits: { maxDevices: 1 } }),
  'quota.exceeded': () => limited({ newQuota: { maxDevices: 1 } }),
  'billing.payment_failed': async () => {
    const userId = await someone();
    const look = async () => [(await userOf(userId))?.paymentFailures, await alerts(userId)];
    return { body: { userId, amount: '9.90' }, look, after: [1, ['payment_failed']] };
  },
  'billing.overdue': inArrears,
  'billing.invoice_overdue': inArrears,
  'billing.balance_low': warned,
  'billing.low_balance': warned,
  'billing.payment_success': paid,
  'billing.recharged': paid,
  'device.allocate.requested': async () => {
    await addDevices(wired.store, alike(1));
    const [sagaId, userId] = [randomUUID(), await someone()];
    const look = async () => [
      (await db().outboxEntry.findMany({ where: { topic: `device.allocate.${sagaId}` } })).map(({ payload }) => payload),
      await ends(userId),
    ];
    const answer = expect.objectContaining({ sagaId, orderId: 'o1', userId, success: true, deviceId: expect.any(String) });
    return { body: { sagaId, orderId: 'o1', userId, planId: 'p1' }, look, after: [[answer], [null]] };
  },
  'device.release': async () => {
    const { userId, deviceId } = await holder(1);
    return { body: { deviceId, userId, reason: 'over' }, look: () => ends(userId), after: ['order_released'] };
  },
};

const TOPICS = Object.keys(CONSUMED_TOPICS) as ConsumedTopic[];

/** Everything an event may leave behind, to see that a repeat leaves nothing. */
async function traces() {
  const counts = [db().outboxEntry, db().ledgerEntry, db().inboxEntry, db().request, db().allocation];
  return Promise.all(counts.map((table) => (table as { count(): Promise<number> }).count()));
}

async function untilTaken(eventId: string): Promise<void> {
  await eventually(async () => {
    // Attempts that wait for their time have it now.
    await jobs.promoteJobs();
    expect(await db().inboxEntry.count({ where: { eventId } })).toBe(1);
  }, PATIENCE_MS);
}

/** Resolves with what became of the job of an event. */
const finished = (eventId: string) =>
  eventually(async () => {
    await jobs.promoteJobs();
    const job = await jobs.getJob(eventJob.idOf({ eventId }));
    if (job?.finishedOn === undefined) throw new Error(`the job of ${eventId} has not finished`);
    return job;
  }, PATIENCE_MS);

test.each(['user.suspended', 'device.maintenance', 'device.release'] as const)('%s keeps with its job why it was said', async (topic) => {
  const { body } = await SUBJECTS[topic]();
  const eventId = await bench.publish(topic, { ...body, reason: 'somebody said so' });
  expect((await finished(eventId)).returnvalue).toMatchObject({ status: 'done', reason: 'somebody said so' });
});

describe.each(TOPICS)('%s', (topic) => {
  test('has its effect, and none when it comes again', async () => {
    const { body, look, after } = await SUBJECTS[topic]();
    const eventId = randomUUID();
    const said = { eventId, ...body };
    await bench.publish(topic, said);
    await untilTaken(eventId);
    expect(await look()).toEqual(after);
    // As after a while: nobody but the database knows of the first one.
    await (await finished(eventId)).remove();
    const before = [await look(), await traces()];
    await bench.publish(topic, said);
    expect((await finished(eventId)).returnvalue).toMatchObject({ status: 'duplicate' });
    expect([await look(), await traces()]).toEqual(before);
  });

  test('in an envelope counts once under the id of its message', async () => {
    const { body, look, after } = await SUBJECTS[topic]();
    const messageId = await bench.publish(topic, { eventType: topic, payload: body });
    await bench.publish(topic, { eventType: topic, payload: body }, messageId);
    await untilTaken(messageId);
    expect(await look()).toEqual(after);
  });

  test('without any id counts once by its key and body', async () => {
    const { body, look, after } = await SUBJECTS[topic]();
    const content = JSON.stringify(body);
    await bench.publish(topic, content, '');
    await bench.publish(topic, content, '');
    await untilTaken(hash('sha256', `${topic}\n${content}`, 'hex'));
    expect(await look()).toEqual(after);
  });

  test('that cannot be read goes to the dead letters with the reason', async () => {
    const before = await traces();
    const messageId = await bench.publish(topic, {});
    const letter = await eventually(() => dead.find(messageId), PATIENCE_MS);
    expect(letter.fields.routingKey).toBe(`${bench.queuePrefix}.${CONSUMED_TOPICS[topic].queue}.failed`);
    expect(letter.properties.headers).toMatchObject({ 'x-original-routing-key': topic, 'x-reason': expect.stringMatching(/[Ii]d/) });
    expect(await traces()).toEqual(before);
  });

  test('whose effect fails twice has it once', async () => {
    const { body, look, after } = await SUBJECTS[topic]();
    const eventId = randomUUID();
    faults.plan(eventId, 2);
    await bench.publish(topic, body, eventId);
    await untilTaken(eventId);
    expect(await look()).toEqual(after);
    expect((await finished(eventId)).attemptsMade).toBe(3);
  });

  test('whose effect always fails changes nothing, goes to the dead letters with the reason, and is tried anew when it is sent again', async () => {
    const { body, look, after } = await SUBJECTS[topic]();
    const eventId = randomUUID();
    faults.plan(eventId, eventJob.options.attempts);
    const before = await look();
    await bench.publish(topic, body, eventId);
    const job = await finished(eventId);
    expect([job.attemptsMade, job.failedReason]).toEqual([eventJob.options.attempts, 'given up: a fault that was planned']);
    const letters = await db().outboxEntry.findMany({ where: { key: eventId } });
    expect(letters).toMatchObject([
      { topic: `scheduler.${CONSUMED_TOPICS[topic].queue}.failed`, payload: { topic, reason: 'a fault that was planned' } },
    ]);
    if (topic !== 'device.allocate.requested') expect(await look()).toEqual(before);
    await bench.publish(topic, body, eventId);
    await untilTaken(eventId);
    expect(await look()).toEqual(after);
  });
});

test('nothing of it contradicts anything', async () => {
  // Dead letters are for people to read: no schema says what they look like.
  await db().outboxEntry.deleteMany({ where: { topic: { in: CONSUMED_QUEUES.map((queue) => `scheduler.${queue}.failed`) } } });
  expect(await readInvariants(wired.store)).toEqual([]);
});
