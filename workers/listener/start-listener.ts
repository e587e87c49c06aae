import { createCapacitySignal } from '../../queues/capacity-signal.ts';
import { eventJob } from '../../queues/jobs/event.ts';
import { QUEUES } from '../../queues/names.ts';
import { type Consumer, type ConsumerOptions, startConsumer, type TakenMessage, type Taking } from '../../shared/broker/consumer.ts';
import { readMessage } from '../../shared/consumed/read-message.ts';
import { CONSUMED_QUEUES, topicsOf } from '../../shared/consumed/topics.ts';
import { messageOf } from '../../shared/errors.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { type QueueWorker, startQueueWorker, type WorkerTiming } from '../../shared/run/queue-worker.ts';
import type { RedisAddress } from '../../shared/run/redis.ts';
import { noteArrived } from '../../shared/store/arrived-events.ts';
import { isUnstorable } from '../../shared/store/store-errors.ts';
import { somebodyWaits, unpark } from '../../shared/store/unpark.ts';
import type { EventParts } from './event-parts.ts';
import { eventHandlers } from './handlers.ts';

/** What the listener works with. */
export interface ListenerDependencies extends Omit<EventParts, 'capacity'> {
  readonly redisAddress: RedisAddress;
  readonly metrics: Metrics;
  readonly broker: Pick<ConsumerOptions, 'url' | 'exchange' | 'backoff' | 'again' | 'confirmTimeoutMs'>;
  /** Start of the names of our queues in RabbitMQ; `scheduler` unless a test has a corner of its own. */
  readonly queuePrefix?: string;
  readonly timing?: Partial<WorkerTiming>;
  /** How long a job holds its place in an outage at first, ms. */
  readonly holdMs?: number;
}

/** A running listener. */
export interface Listener {
  isListening(): boolean;
  healthy(): boolean;
  close(): Promise<void>;
}

/** Messages in hand of each queue: each is but an enqueueing. */
const PREFETCH = 200;
const CONCURRENCY = 10;
/** Longest run of one job, ms. */
const JOB_DEADLINE_MS = 30_000;

/** Starts the door for events: what arrives is read and enqueued, and worked on from there. With no address events are off. */
export async function startListener(deps: ListenerDependencies): Promise<Listener> {
  const { store, redis, prefix, logger } = deps;
  const capacity = createCapacitySignal({
    redis,
    prefix,
    waits: () => somebodyWaits(store),
    unpark: (users, allocations) => unpark(store, users, allocations),
    logger,
  });
  const worker = startEvents({ ...deps, capacity });
  const consumer = deps.broker.url === '' ? undefined : await listen(deps);
  if (consumer === undefined) deps.logger.warn('events are off: RABBITMQ_URL is empty');
  return {
    isListening: () => consumer?.isListening() ?? false,
    healthy: worker.healthy,
    close: async () => {
      await consumer?.close();
      await worker.close();
      await capacity.close();
    },
  };
}

function listen(deps: ListenerDependencies): Promise<Consumer> {
  const { queuePrefix = 'scheduler' } = deps;
  return startConsumer({
    ...deps.broker,
    name: 'listener',
    queues: CONSUMED_QUEUES.map((name) => ({ name: `${queuePrefix}.${name}`, topics: topicsOf(name) })),
    prefetch: PREFETCH,
    take: (message) => enqueue(deps, message),
    logger: deps.logger,
    metrics: deps.metrics,
  });
}

/** Reads a message, keeps what it asks for, and enqueues it under the event's id: should Redis lose the job, there is a row. */
async function enqueue({ store, producer }: Pick<EventParts, 'store' | 'producer'>, message: TakenMessage): Promise<Taking> {
  const read = readMessage(message);
  if (read.kind === 'malformed') return read;
  const event = { eventId: read.eventId, topic: message.topic, action: read.action };
  try {
    await noteArrived(store, event);
  } catch (error) {
    if (isUnstorable(error)) return { kind: 'malformed', reason: messageOf(error) };
    throw error;
  }
  faultPoint('consume.1');
  await producer.event(event);
  faultPoint('consume.2');
  return { kind: 'taken' };
}

function startEvents(deps: ListenerDependencies & EventParts): QueueWorker {
  return startQueueWorker({
    queue: QUEUES.event,
    prefix: deps.prefix,
    redis: deps.redisAddress,
    concurrency: CONCURRENCY,
    handlers: eventHandlers(deps, eventJob.options.attempts, deps.holdMs),
    deadlineMs: JOB_DEADLINE_MS,
    metrics: deps.metrics,
    logger: deps.logger,
    ...(deps.timing === undefined ? {} : { timing: deps.timing }),
  });
}
