import { z } from 'zod';
import { TIER_PRIORITY, type Tier } from './allocation/tier.ts';
import { CONSUMED_QUEUES } from './consumed/topics.ts';

/**
 * What is told to the rest of the platform: routing keys, bodies and how a body is built.
 *
 * A state change writes its event as an outbox row in the same transaction: `topic` is the routing key, `key` says
 * whose order is kept (an allocation, or a request that never became one), `payload` holds the event's own fields.
 * The relay adds the envelope (`eventId`, `type`, `version`, `timestamp`) when it publishes, so a repeat is identical.
 */

/** Topic exchange of everything published. */
export const EVENT_EXCHANGE = 'cloudphone.events';

/** Topic exchange of what could not be delivered. */
export const DEAD_LETTER_EXCHANGE = 'cloudphone.dlx';

/** Version of the bodies below, sent with every event. */
export const EVENT_VERSION = 1;

// A guid, as every door takes them: the ids of devices are chosen by others, and need not follow RFC 9562.
const id = z.guid();
const userId = z.string().min(1);
const tenantId = z.string().nullable();
const fence = z.int().positive();
const instant = z.iso.datetime();
const seconds = z.int().nonnegative();

const refusal = z.strictObject({ requestId: id, userId, tenantId, code: z.string(), reason: z.string() });
const entry = { queueId: id, userId, priority: z.int().nonnegative(), userTier: z.string() };
const booking = {
  reservationId: id,
  userId,
  tenantId,
  deviceId: id.nullable(),
  reservedStartTime: instant,
  reservedEndTime: instant,
  seriesId: id.nullable(),
};
const holder = { allocationId: id, deviceId: id, userId, tenantId, fence };

/** The bodies, by routing key, without the envelope. Times are ISO 8601 in UTC, durations whole seconds. */
export const EVENTS = {
  'device.allocated': z.strictObject({ ...holder, allocatedAt: instant, expiresAt: instant, strategy: z.string() }),
  'device.released': z.strictObject({ ...holder, releasedAt: instant, durationSeconds: seconds, endReason: z.string() }),
  'scheduler.allocation.failed': refusal,
  'scheduler.allocation.quota_exceeded': refusal,
  'scheduler.allocation.released': z.strictObject({ ...holder, releasedAt: instant, durationSeconds: seconds, endReason: z.string() }),
  'scheduler.allocation.expired': z.strictObject({ ...holder, expiredAt: instant, durationSeconds: seconds, endReason: z.string() }),
  'scheduler.allocation.extended': z.strictObject({
    ...holder,
    automatic: z.boolean(),
    oldExpiresAt: instant,
    newExpiresAt: instant,
    additionalMinutes: z.int().positive(),
    extendCount: z.int().positive(),
  }),
  'scheduler.queue.joined': z.strictObject({ ...entry, maxWaitMinutes: z.int().nonnegative() }),
  'scheduler.queue.cancelled': z.strictObject({ ...entry, cancelReason: z.string().nullable() }),
  'scheduler.queue.fulfilled': z.strictObject({ ...entry, deviceId: id, allocationId: id, waitedMinutes: z.int().nonnegative() }),
  'scheduler.queue.expired': z.strictObject({ ...entry, expiryReason: z.string(), waitedMinutes: z.int().nonnegative() }),
  'scheduler.reservation.created': z.strictObject(booking),
  'scheduler.reservation.updated': z.strictObject(booking),
  'scheduler.reservation.cancelled': z.strictObject({ ...booking, cancelReason: z.string().nullable() }),
  'scheduler.reservation.executed': z.strictObject({ ...booking, allocationId: id, swappedFrom: id.nullable() }),
  'scheduler.reservation.failed': z.strictObject({ ...booking, code: z.string(), reason: z.string(), queueId: id.nullable() }),
  'scheduler.reservation.expired': z.strictObject({ ...booking, reason: z.string() }),
  'scheduler.reservation.reminder': z.strictObject({ ...booking, minutesLeft: z.int().nonnegative() }),
  'billing.usage_report_failed': z.strictObject({
    allocationId: id,
    deviceId: id,
    userId,
    tenantId,
    usage: z.strictObject({ durationSeconds: seconds, cpuCores: z.int(), memoryMB: z.int(), storageMB: z.int() }),
    allocatedAt: instant,
    releasedAt: instant,
    failureReason: z.string(),
    retryCount: z.int().nonnegative(),
  }),
} as const;

/** Stands for every `device.allocate.<sagaId>`: the answer to an order goes to a key of its own. */
export const ORDER_ANSWER_TOPIC = 'device.allocate.<sagaId>';

const ORDER_ANSWER = /^device\.allocate\.[\w-]{1,100}$/;

const orderAnswer = z.strictObject({
  sagaId: z.string(),
  deviceId: id.nullable(),
  orderId: z.string(),
  userId,
  success: z.boolean(),
  allocationId: id.optional(),
  error: z.string().optional(),
});

/** The bodies as they leave, envelope included, by routing key. The pages of `docs/events` are written from it. */
export const PUBLISHED: ReadonlyMap<string, z.ZodObject> = new Map(
  Object.entries({ ...EVENTS, [ORDER_ANSWER_TOPIC]: orderAnswer }).map(([topic, own]) => {
    const type = topic === ORDER_ANSWER_TOPIC ? z.string().regex(ORDER_ANSWER) : z.literal(topic);
    return [topic, own.extend({ eventId: id, type, version: z.literal(EVENT_VERSION), timestamp: instant })];
  }),
);

/** What the body under a routing key must look like; nothing for a key that is not ours. */
export function publishedSchemaOf(topic: string): z.ZodObject | undefined {
  return PUBLISHED.get(topic) ?? (ORDER_ANSWER.test(topic) ? PUBLISHED.get(ORDER_ANSWER_TOPIC) : undefined);
}

export type EventTopic = keyof typeof EVENTS;

/** The own fields of one kind of event. */
export type EventBody<T extends EventTopic> = Readonly<z.infer<(typeof EVENTS)[T]>>;

/** One row for the outbox, channel `event`. */
export interface OutboxEvent<T extends EventTopic = EventTopic> {
  readonly topic: T;
  /** Events of one key are published in the order they were written. */
  readonly key: string;
  readonly payload: EventBody<T>;
}

/** Narrows a routing key to one of the published ones. */
export function isEventTopic(topic: string): topic is EventTopic {
  return Object.hasOwn(EVENTS, topic);
}

/** Where events of other services go that were given up. */
const GIVEN_UP = CONSUMED_QUEUES.map((queue) => `scheduler.${queue}.failed`);

/** The exchange a routing key goes to: dead letters leave by the other door. */
export function exchangeOf(topic: string): string {
  return topic === 'billing.usage_report_failed' || GIVEN_UP.includes(topic) ? DEAD_LETTER_EXCHANGE : EVENT_EXCHANGE;
}

/** Whose allocation an event tells about. */
export interface HolderFacts {
  readonly allocationId: string;
  readonly deviceId: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly fence: number;
}

function holderOf({ allocationId, deviceId, userId, tenantId, fence }: HolderFacts): HolderFacts {
  return { allocationId, deviceId, userId, tenantId, fence };
}

/** A device was granted. Times are ISO 8601 in UTC, as the holder is told them. */
export function deviceAllocated(
  granted: HolderFacts & { readonly allocatedAt: string; readonly expiresAt: string; readonly strategy: string },
): OutboxEvent<'device.allocated'> {
  const { allocatedAt, expiresAt, strategy } = granted;
  return { topic: 'device.allocated', key: granted.allocationId, payload: { ...holderOf(granted), allocatedAt, expiresAt, strategy } };
}

/** How an allocation ended. `durationSeconds` is the billed time. */
export interface EndFacts extends HolderFacts {
  readonly endedAt: Date;
  readonly durationSeconds: number;
  readonly endReason: string;
}

/**
 * An allocation ended: `device.released` whatever the reason, followed by how it ended for the holder.
 *
 * @returns two rows, in the order they are to be written
 */
export function allocationEnded(
  end: EndFacts,
): readonly [OutboxEvent<'device.released'>, OutboxEvent<'scheduler.allocation.expired' | 'scheduler.allocation.released'>] {
  const { durationSeconds, endReason } = end;
  const endedAt = end.endedAt.toISOString();
  const key = end.allocationId;
  const released = { ...holderOf(end), releasedAt: endedAt, durationSeconds, endReason };
  const expired = { ...holderOf(end), expiredAt: endedAt, durationSeconds, endReason };
  return [
    { topic: 'device.released', key, payload: released },
    endReason === 'expired'
      ? { topic: 'scheduler.allocation.expired', key, payload: expired }
      : { topic: 'scheduler.allocation.released', key, payload: released },
  ];
}

/** An allocation got more time. `automatic` says that nobody asked for it in that moment. */
export function allocationExtended(
  extension: HolderFacts & {
    readonly automatic: boolean;
    readonly oldExpiresAt: Date;
    readonly newExpiresAt: Date;
    readonly additionalMinutes: number;
    readonly extendCount: number;
  },
): OutboxEvent<'scheduler.allocation.extended'> {
  const { automatic, additionalMinutes, extendCount } = extension;
  const times = { oldExpiresAt: extension.oldExpiresAt.toISOString(), newExpiresAt: extension.newExpiresAt.toISOString() };
  return {
    topic: 'scheduler.allocation.extended',
    key: extension.allocationId,
    payload: { ...holderOf(extension), automatic, ...times, additionalMinutes, extendCount },
  };
}

/** What a request that got no device is told with. */
export type RefusalFacts = EventBody<'scheduler.allocation.failed'>;

/** A request was refused: because the quota is used up, or for any other reason. */
export function allocationRefused(
  refusal: RefusalFacts,
): OutboxEvent<'scheduler.allocation.failed' | 'scheduler.allocation.quota_exceeded'> {
  const { requestId, userId, tenantId, code, reason } = refusal;
  const topic = code === 'QUOTA_EXCEEDED' ? 'scheduler.allocation.quota_exceeded' : 'scheduler.allocation.failed';
  return { topic, key: requestId, payload: { requestId, userId, tenantId, code, reason } };
}

/** Who waits: an entry of the queue is the request that waits, by its id. */
export interface EntryFacts {
  readonly requestId: string;
  readonly userId: string;
  readonly tier: Tier;
}

function entryOf({ requestId, userId, tier }: EntryFacts) {
  return { queueId: requestId, userId, priority: TIER_PRIORITY[tier], userTier: tier };
}

/** A request began to wait. */
export function queueJoined(entry: EntryFacts, maxWaitMinutes: number): OutboxEvent<'scheduler.queue.joined'> {
  return { topic: 'scheduler.queue.joined', key: entry.requestId, payload: { ...entryOf(entry), maxWaitMinutes } };
}

/** Somebody who waited does no longer: withdrawn, or refused for a reason that waiting cannot help. */
export function queueCancelled(entry: EntryFacts, cancelReason: string | null): OutboxEvent<'scheduler.queue.cancelled'> {
  return { topic: 'scheduler.queue.cancelled', key: entry.requestId, payload: { ...entryOf(entry), cancelReason } };
}

/** Somebody who waited has a device. `waitedMinutes` are whole ones. */
export function queueFulfilled(
  entry: EntryFacts,
  got: { readonly deviceId: string; readonly allocationId: string; readonly waitedMinutes: number },
): OutboxEvent<'scheduler.queue.fulfilled'> {
  const { deviceId, allocationId, waitedMinutes } = got;
  return {
    topic: 'scheduler.queue.fulfilled',
    key: entry.requestId,
    payload: { ...entryOf(entry), deviceId, allocationId, waitedMinutes },
  };
}

/** The longest wait is over. */
export function queueExpired(entry: EntryFacts, expiryReason: string, waitedMinutes: number): OutboxEvent<'scheduler.queue.expired'> {
  return { topic: 'scheduler.queue.expired', key: entry.requestId, payload: { ...entryOf(entry), expiryReason, waitedMinutes } };
}

/** What every event of a reservation says. Times are ISO 8601 in UTC. */
export type BookingFacts = EventBody<'scheduler.reservation.created'>;

/** What one kind of event of a reservation says besides. */
type BookingExtra<T extends ReservationTopic> = Omit<EventBody<T>, keyof BookingFacts>;
type ReservationTopic = Extract<EventTopic, `scheduler.reservation.${string}`>;

/** A reservation was made, moved or changed, cancelled, begun, has failed, run out, or is about to start. */
export function reservationEvent<T extends ReservationTopic>(topic: T, booked: BookingFacts, extra: BookingExtra<T>): OutboxEvent<T> {
  const { reservationId, userId, tenantId, deviceId, reservedStartTime, reservedEndTime, seriesId } = booked;
  const own = { reservationId, userId, tenantId, deviceId, reservedStartTime, reservedEndTime, seriesId };
  return { topic, key: reservationId, payload: { ...own, ...extra } as EventBody<T> };
}

/** Billing gave up on an allocation: what it owes, for people to see. */
export function usageReportFailed(
  letter: Omit<EventBody<'billing.usage_report_failed'>, 'allocatedAt' | 'releasedAt'> & {
    readonly allocatedAt: Date;
    readonly releasedAt: Date;
  },
): OutboxEvent<'billing.usage_report_failed'> {
  const times = { allocatedAt: letter.allocatedAt.toISOString(), releasedAt: letter.releasedAt.toISOString() };
  return { topic: 'billing.usage_report_failed', key: letter.allocationId, payload: { ...letter, ...times } };
}

/** A stored event on its way out. */
export interface StoredEvent {
  readonly eventId: string;
  readonly topic: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly createdAt: Date;
}

/**
 * The body that is published: the event's own fields plus the envelope, flat.
 * Everything in it comes from the row, so publishing a row twice sends the same bytes.
 */
export function publishedBody(event: StoredEvent): Readonly<Record<string, unknown>> {
  const envelope = { eventId: event.eventId, type: event.topic, version: EVENT_VERSION, timestamp: event.createdAt.toISOString() };
  return { ...event.payload, ...envelope };
}
