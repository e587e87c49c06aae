import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import type { Cluster, Redis } from 'ioredis';
import { withoutDefaults } from '../shared/allocation/asked.ts';
import type { AllocationRequest } from '../shared/allocation/facts.ts';
import { SchedulerError } from '../shared/errors.ts';
import { readTolerantly } from '../shared/read-tolerantly.ts';
import { spanRecorder } from '../shared/spans.ts';
import { type Asker, placeInFairOrder } from './fair-order.ts';
import type { Place } from './fair-order-model.ts';
import { ADMIT_EVENT, FAILED_OTHERWISE, FORGET_FAILED, FORGET_FINISHED, UNDER_WAY } from './job-scripts.ts';
import { type AllocatePayload, allocateJob, type NewAllocate } from './jobs/allocate.ts';
import { allocateBatchJob, type NewAllocateBatch } from './jobs/allocate-batch.ts';
import { type CancelPayload, cancelJob } from './jobs/cancel.ts';
import { DEAD_LETTER, type DeadLetterPayload, deadLetterJob } from './jobs/dead-letter.ts';
import { type DeliverPayload, deliverJob } from './jobs/deliver.ts';
import { type EventPayload, eventJob, type FailedEvent, GIVEN_UP } from './jobs/event.ts';
import { type ExtendPayload, extendJob } from './jobs/extend.ts';
import { joinJob, type NewJoin } from './jobs/join.ts';
import { type MaintenancePayload, maintenanceJob } from './jobs/maintenance.ts';
import { type ReleasePayload, releaseJob } from './jobs/release.ts';
import { type ReleaseBatchPayload, releaseBatchJob } from './jobs/release-batch.ts';
import { type NewReserve, reserveJob } from './jobs/reserve.ts';
import { createMemoryGuard, FULL } from './memory-guard.ts';
import { QUEUES, type QueueName } from './names.ts';
import { type ScheduleState, toScheduleState } from './schedule-state.ts';
import { RELAY_SCHEDULES, RESERVATION_SCHEDULES, type Schedule, type ScheduledJobName } from './schedules.ts';

/** What is needed of a logger here. */
interface WarnLog {
  warn(details: object, message: string): void;
}

export interface ProducerOptions {
  /** A connection that fails fast (`producer`); the caller closes it. */
  readonly redis: Redis | Cluster;
  readonly prefix: string;
  /** Waiting allocate jobs above which new ones are refused. */
  readonly maxWaitingJobs: number;
  /** Events waiting, for a first or another attempt, above which more are left in RabbitMQ; 10 000 unless said. */
  readonly maxWaitingEvents?: number;
  readonly logger: WarnLog;
}

/** A request whose job may be lost or finished, as its row tells it. */
export type RequestAgain = AllocationRequest & { readonly createdAt: Date };

/**
 * The one way to put jobs into queues. Every method throws QUEUE_UNAVAILABLE when Redis gives no answer; the job may
 * exist nevertheless, so ask again with the same id.
 */
export interface Producer {
  /**
   * Enqueues new requests in their fair order, once `written` resolves; nothing is enqueued when it rejects.
   * Throws OVERLOADED when too many wait (none is taken) or Redis is 70 % full.
   */
  allocate(requests: readonly NewAllocate[], written?: Promise<unknown>): Promise<void>;
  /** Enqueues a batch as one job, served when the last of its requests would be. A finished job of the same id is forgotten first. Throws as `allocate` does. */
  allocateBatch(batch: NewAllocateBatch): Promise<void>;
  /** Throws OVERLOADED when Redis was 70 % full a moment ago. Never waits. */
  assertMemory(): void;
  /** Enqueues accepted requests again: a finished job of the same id is forgotten first, a live one stays as it is. Never OVERLOADED. */
  allocateAgain(requests: readonly RequestAgain[]): Promise<void>;
  release(payload: ReleasePayload): Promise<void>;
  releaseMany(payloads: readonly ReleasePayload[]): Promise<void>;
  releaseBatch(payload: ReleaseBatchPayload): Promise<void>;
  cancel(payload: CancelPayload): Promise<void>;
  extend(payload: ExtendPayload): Promise<void>;
  /** What became of an extend job nobody heard of: its outcome; or it is taken back and will not run; or it runs right now. */
  settleExtend(
    extendId: string,
  ): Promise<{ readonly kind: 'finished'; readonly outcome: unknown } | { readonly kind: 'withdrawn' | 'running' }>;
  deliver(payloads: readonly DeliverPayload[]): Promise<void>;
  /** Shows these dead letters among the failed deliveries, and no others. */
  deadLetters(letters: readonly DeadLetterPayload[]): Promise<void>;
  reserve(payload: NewReserve): Promise<void>;
  join(payload: NewJoin): Promise<void>;
  /** Hands on an event of another service; one that failed for good is tried anew. Throws OVERLOADED while too many wait. */
  event(payload: EventPayload): Promise<void>;
  /** Hands on events again whose jobs may be lost: a finished job of the same id is forgotten first, a live one stays as it is. */
  eventsAgain(payloads: readonly EventPayload[]): Promise<void>;
  /** Has the holders and reservations of devices looked after that were changed by a door of ours. Never OVERLOADED: the rows are written. */
  settleDevices(deviceIds: readonly string[]): Promise<void>;
  /** Events that failed for good and are not in the dead letters, because their worker or the database died on them. */
  unburiedEvents(limit: number): Promise<readonly FailedEvent[]>;
  /** Forgets the finished job of an event. */
  dropEvent(payload: EventPayload): Promise<void>;
  /** Runs a scheduled job now, beside its schedule. */
  runNow(name: ScheduledJobName): Promise<void>;
  /** The schedules as Redis has them; one that is missing is put back by the maintenance worker. */
  schedules(): Promise<ScheduleState[]>;
  /** Forgets a job that has failed for good: it would keep its id from being used again for as long as it is kept. */
  forgetFailed(queue: QueueName, id: string): Promise<void>;
  /** Whether a job exists, finished ones included. */
  hasJob(queue: QueueName, id: string): Promise<boolean>;
  /** Which of these requests have an allocate job that is waiting, running or to be retried. */
  underWay(requestIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** The words of a request whose allocate job is still there, finished or not. */
  asked(requestId: string): Promise<AllocatePayload | undefined>;
  /** The words of requests whose allocate jobs failed for good, the latest first. */
  failed(limit: number): Promise<AllocatePayload[]>;
  /** Allocate jobs that wait. */
  waiting(): Promise<number>;
  close(): Promise<void>;
}

/** Jobs added by one pipeline. */
const BULK = 500;

/** Under this the inbox notes what our own doors have changed of a device. */
const SETTLED = 'scheduler.device.changed';

/** Events waiting, also for their next attempt, above which more are left in RabbitMQ, which has disks for that. */
const MAX_WAITING_EVENTS = 10_000;

export function createProducer(options: ProducerOptions): Producer {
  const { redis, prefix, maxWaitingJobs, maxWaitingEvents = MAX_WAITING_EVENTS, logger } = options;
  const telemetry = spanRecorder()?.telemetry;
  const open = <Payload>(name: QueueName) => {
    // Without its version check: it asks once, and a queue made while Redis is away would fail for ever after.
    const queue = new Queue<Payload, unknown, string>(name, {
      connection: redis,
      prefix,
      skipWaitingForReady: true,
      skipVersionCheck: true,
      ...(telemetry === undefined ? {} : { telemetry }),
    });
    queue.on('error', (error) => logger.warn({ err: error, queue: name }, 'queue error'));
    return queue;
  };
  const allocations = open(QUEUES.allocate);
  const releases = open(QUEUES.release);
  const extensions = open(QUEUES.extend);
  const deliveries = open<DeliverPayload | DeadLetterPayload>(QUEUES.delivery);
  const bills = open(QUEUES.billing);
  const notices = open(QUEUES.notice);
  const events = open(QUEUES.event);
  const maintenance = open<MaintenancePayload>(QUEUES.maintenance);
  const reservations = open<NewReserve>(QUEUES.reserve);
  const joins = open<NewJoin>(QUEUES.join);
  const looks = open<MaintenancePayload>(QUEUES.reservations);
  const ticks = open<MaintenancePayload>(QUEUES.relay);
  const queueOf = (name: ScheduledJobName) => {
    const isOf = (schedules: readonly Schedule[]) => schedules.some((schedule) => schedule.name === name);
    if (isOf(RELAY_SCHEDULES)) return ticks;
    return isOf(RESERVATION_SCHEDULES) ? looks : maintenance;
  };
  const jobKeys = `${prefix}:${QUEUES.allocate}`;
  const eventKeys = `${prefix}:${QUEUES.event}`;

  const memory = createMemoryGuard(redis, (error) => logger.warn({ err: error }, 'the memory of Redis could not be looked at'));

  async function allocate(requests: readonly NewAllocate[], written?: Promise<unknown>): Promise<void> {
    assertMemory();
    await addInFairOrder(requests, maxWaitingJobs, written);
  }

  function assertMemory(): void {
    const use = memory.use();
    if (use >= FULL) throw new SchedulerError('OVERLOADED', { details: { memoryUse: use, max: FULL }, retryAfter: 5 });
  }

  async function allocateBatch(batch: NewAllocateBatch): Promise<void> {
    assertMemory();
    const jobId = allocateBatchJob.idOf(batch);
    await forgetFinished(jobKeys, [jobId]);
    const places = await placesOf(batch.members, maxWaitingJobs);
    const last = places.reduce((later, place) => (place.tag > later.tag ? place : later));
    const members = batch.members.map((member) => ({ ...member, asked: withoutDefaults(member.asked) }));
    const data = { ...batch, members, fairStart: last.fairStart };
    await addAll(allocations, [{ name: allocateBatchJob.name, data, opts: { ...allocateBatchJob.options, jobId, priority: last.tag } }]);
  }

  async function placesOf(askers: readonly Asker[], maxWaiting: number): Promise<readonly Place[]> {
    const placing = await placeInFairOrder(redis, prefix, askers, maxWaiting);
    if (placing.kind === 'overloaded')
      throw new SchedulerError('OVERLOADED', { details: { waiting: placing.waiting, max: maxWaiting }, retryAfter: 5 });
    return placing.places;
  }

  async function addInFairOrder(requests: readonly NewAllocate[], maxWaiting: number, written?: Promise<unknown>): Promise<void> {
    for (let from = 0; from < requests.length; from += BULK) {
      const group = requests.slice(from, from + BULK);
      const [places] = await Promise.all([placesOf(group, maxWaiting), written]);
      await addAll(
        allocations,
        group.map((request, index) => allocateEntry(request, places[index])),
      );
    }
  }

  async function allocateAgain(requests: readonly RequestAgain[]): Promise<void> {
    if (requests.length === 0) return;
    await forgetFinished(
      jobKeys,
      requests.map(({ requestId }) => requestId),
    );
    await addInFairOrder(requests.map(toNew), Number.MAX_SAFE_INTEGER);
  }

  async function forgetFinished(keys: string, jobIds: readonly string[]): Promise<void> {
    await FORGET_FINISHED.run(redis, [`${keys}:completed`, `${keys}:failed`], [`${keys}:`, ...jobIds]);
  }

  async function underWay(requestIds: readonly string[]): Promise<ReadonlySet<string>> {
    if (requestIds.length === 0) return new Set();
    const reply = await UNDER_WAY.run(redis, [`${jobKeys}:active`], [`${jobKeys}:`, ...requestIds]);
    return new Set(Array.isArray(reply) ? reply.map(String) : []);
  }

  async function asked(requestId: string): Promise<AllocatePayload | undefined> {
    const words = await redis.hget(`${jobKeys}:${allocateJob.idOf({ requestId })}`, 'data');
    return words === null ? undefined : allocateJob.payload.safeParse(JSON.parse(words)).data;
  }

  async function failed(limit: number): Promise<AllocatePayload[]> {
    const jobs = await allocations.getFailed(0, limit - 1);
    return jobs.flatMap((job) => {
      const read = job.name === allocateJob.name ? readTolerantly(allocateJob.payload, job.data) : undefined;
      return read?.success === true ? [read.data] : [];
    });
  }

  const releaseMany = (payloads: readonly ReleasePayload[]) =>
    addAll(
      releases,
      payloads.map((data) => ({ name: releaseJob.name, data, opts: { ...releaseJob.options, jobId: releaseJob.idOf(data) } })),
    );

  async function event(data: EventPayload): Promise<void> {
    const jobId = eventJob.idOf(data);
    const keys = ['wait', 'delayed', 'failed'].map((set) => `${eventKeys}:${set}`);
    if (Number(await ADMIT_EVENT.run(redis, keys, [maxWaitingEvents, `${eventKeys}:${jobId}`, jobId])) === 0)
      throw new SchedulerError('OVERLOADED', { details: { max: maxWaitingEvents }, retryAfter: 1 });
    await addAll(events, [eventEntry(data)]);
  }

  async function eventsAgain(payloads: readonly EventPayload[]): Promise<void> {
    if (payloads.length === 0) return;
    await forgetFinished(eventKeys, payloads.map(eventJob.idOf));
    await addAll(events, payloads.map(eventEntry));
  }

  async function unburiedEvents(limit: number): Promise<FailedEvent[]> {
    const reply = await FAILED_OTHERWISE.run(redis, [`${eventKeys}:failed`], [`${eventKeys}:`, GIVEN_UP, limit]);
    const texts = Array.isArray(reply) ? reply.map(String) : [];
    return texts.flatMap((data, index) => {
      const payload = index % 2 === 0 ? eventJob.payload.safeParse(JSON.parse(data)).data : undefined;
      return payload === undefined ? [] : [{ payload, reason: texts[index + 1] ?? '' }];
    });
  }

  const settleDevices = (deviceIds: readonly string[]) =>
    addAll(
      events,
      deviceIds.map((deviceId) => eventEntry({ eventId: randomUUID(), topic: SETTLED, action: { action: 'settle-device', deviceId } })),
    );

  async function deliver(payloads: readonly DeliverPayload[]): Promise<void> {
    const entryOf = (data: DeliverPayload) => ({
      name: deliverJob.of[data.kind].name,
      data,
      opts: { ...deliverJob.options, jobId: deliverJob.idOf(data) },
    });
    const to = (queue: QueueName) => payloads.filter(({ kind }) => deliverJob.of[kind].queue === queue).map(entryOf);
    await addAll(deliveries, to(QUEUES.delivery));
    await addAll(bills, to(QUEUES.billing));
    await addAll(notices, to(QUEUES.notice));
  }

  async function deadLetters(letters: readonly DeadLetterPayload[]): Promise<void> {
    const entryOf = (data: DeadLetterPayload) => ({
      name: deadLetterJob.name,
      data,
      opts: { ...deadLetterJob.options, jobId: deadLetterJob.idOf(data) },
    });
    const shown = new Set(letters.map(deadLetterJob.idOf));
    for (const job of await deliveries.getFailed()) if (job.name === DEAD_LETTER && !shown.has(job.id ?? '')) await job.remove();
    await addAll(deliveries, letters.map(entryOf));
  }

  async function settleExtend(extendId: string) {
    const job = await extensions.getJob(extendId);
    if (job?.finishedOn !== undefined && job.failedReason === undefined) return { kind: 'finished', outcome: job.returnvalue } as const;
    const kept = job !== undefined && (await extensions.remove(extendId)) === 0;
    return { kind: kept ? 'running' : 'withdrawn' } as const;
  }

  return {
    allocate: (requests, written) => asQueueError(() => allocate(requests, written)),
    allocateBatch: (batch) => asQueueError(() => allocateBatch(batch)),
    assertMemory,
    allocateAgain: (requests) => asQueueError(() => allocateAgain(requests)),
    release: (payload) => asQueueError(() => releaseMany([payload])),
    releaseMany: (payloads) => asQueueError(() => releaseMany(payloads)),
    releaseBatch: (data) =>
      asQueueError(() =>
        addAll(releases, [{ name: releaseBatchJob.name, data, opts: { ...releaseBatchJob.options, jobId: releaseBatchJob.idOf(data) } }]),
      ),
    cancel: (data) =>
      asQueueError(() => addAll(releases, [{ name: cancelJob.name, data, opts: { ...cancelJob.options, jobId: cancelJob.idOf(data) } }])),
    extend: (data) =>
      asQueueError(() => addAll(extensions, [{ name: extendJob.name, data, opts: { ...extendJob.options, jobId: extendJob.idOf(data) } }])),
    settleExtend: (extendId) => asQueueError(() => settleExtend(extendId)),
    deliver: (payloads) => asQueueError(() => deliver(payloads)),
    deadLetters: (letters) => asQueueError(() => deadLetters(letters)),
    event: (payload) => asQueueError(() => event(payload)),
    eventsAgain: (payloads) => asQueueError(() => eventsAgain(payloads)),
    settleDevices: (deviceIds) => asQueueError(() => settleDevices(deviceIds)),
    dropEvent: (payload) => asQueueError(() => forgetFinished(eventKeys, [eventJob.idOf(payload)])),
    unburiedEvents: (limit) => asQueueError(() => unburiedEvents(limit)),
    runNow: (name) => asQueueError(() => addAll(queueOf(name), [{ name, data: { by: 'operator' }, opts: maintenanceJob.options }])),
    reserve: (data) =>
      asQueueError(() =>
        addAll(reservations, [{ name: reserveJob.name, data, opts: { ...reserveJob.options, jobId: reserveJob.idOf(data) } }]),
      ),
    join: (data) =>
      asQueueError(() => addAll(joins, [{ name: joinJob.name, data, opts: { ...joinJob.options, jobId: joinJob.idOf(data) } }])),
    schedules: () =>
      asQueueError(async () => {
        const schedulers = await Promise.all([maintenance, looks, ticks].map((queue) => queue.getJobSchedulers(0, -1)));
        return schedulers.flat().map(toScheduleState);
      }),
    forgetFailed: (queue, id) =>
      asQueueError(async () => void (await FORGET_FAILED.run(redis, [`${prefix}:${queue}:failed`], [`${prefix}:${queue}:`, id]))),
    hasJob: (queue, id) => asQueueError(async () => (await redis.exists(`${prefix}:${queue}:${id}`)) === 1),
    underWay: (requestIds) => asQueueError(() => underWay(requestIds)),
    failed: (limit) => asQueueError(() => failed(limit)),
    asked: (requestId) => asQueueError(() => asked(requestId)),
    waiting: () => asQueueError(async () => (await redis.zcard(`${jobKeys}:prioritized`)) + (await redis.llen(`${jobKeys}:wait`))),
    close: async () => {
      for (const queue of [allocations, releases, extensions, deliveries, notices, events, maintenance, reservations, joins, looks, ticks])
        await queue.close();
    },
  };
}

type Entry<Payload> = Parameters<Queue<Payload, unknown, string>['addBulk']>[0][number];

/** One job needs no transaction around it. */
async function addAll<Payload>(queue: Queue<Payload, unknown, string>, entries: readonly Entry<Payload>[]): Promise<void> {
  const [first] = entries;
  if (first === undefined) return;
  if (entries.length === 1) await inTrace(first.data, () => queue.add(first.name, first.data, first.opts));
  else for (let from = 0; from < entries.length; from += BULK) await queue.addBulk(entries.slice(from, from + BULK).map(withContext));
}

/** The trace of a payload is what the job belongs to, whoever enqueues it. */
function inTrace<T>(data: unknown, work: () => Promise<T>): Promise<T> {
  const recorder = spanRecorder();
  const trace = traceOf(data);
  return recorder === undefined || trace === undefined ? work() : recorder.after(trace, work);
}

/** Jobs that are added together belong each to its own trace. */
function withContext<Payload>(entry: Entry<Payload>): Entry<Payload> {
  const trace = traceOf(entry.data);
  const metadata = trace === undefined ? undefined : spanRecorder()?.metadataOf(trace);
  return metadata === undefined ? entry : { ...entry, opts: { ...entry.opts, telemetry: { metadata } } };
}

function traceOf(data: unknown): string | undefined {
  if (typeof data !== 'object' || data === null || !('traceId' in data)) return undefined;
  return typeof data.traceId === 'string' ? data.traceId : undefined;
}

function eventEntry(data: EventPayload) {
  return { name: eventJob.name, data, opts: { ...eventJob.options, jobId: eventJob.idOf(data) } };
}

function allocateEntry(request: NewAllocate, place: Place | undefined) {
  return {
    name: allocateJob.name,
    data: { ...request, asked: withoutDefaults(request.asked), fairStart: place?.fairStart ?? 0 },
    opts: { ...allocateJob.options, jobId: allocateJob.idOf(request), priority: place?.tag ?? 1 },
  };
}

function toNew({ createdAt, traceId, ...request }: RequestAgain): NewAllocate {
  return { ...request, ...(traceId === undefined ? {} : { traceId }), acceptedAt: createdAt.getTime() };
}

async function asQueueError<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SchedulerError) throw error;
    throw new SchedulerError('QUEUE_UNAVAILABLE', { cause: error, retryAfter: 1 });
  }
}
