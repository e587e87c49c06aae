import { deadTopicOf } from '../consumed/topics.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

/** An event of another service that has had no effect yet. */
export interface ArrivedEvent {
  readonly eventId: string;
  readonly topic: string;
  /** What it asks for, as it was read. */
  readonly action: unknown;
}

/**
 * Keeps an event before it is acknowledged. One that is kept already, or has had its effect, changes nothing.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function noteArrived(store: Store, { eventId, topic, action }: ArrivedEvent): Promise<void> {
  await translated(store.prisma.$executeRaw`
    INSERT INTO arrived_events (event_id, topic, action) SELECT ${eventId}, ${topic}, ${JSON.stringify(action)}::jsonb
    WHERE NOT EXISTS (SELECT FROM inbox WHERE event_id = ${eventId}) ON CONFLICT (event_id) DO NOTHING`);
}

/**
 * Events that were handed out more than `olderThanSeconds` ago and have had no effect, the oldest first. Marked as handed out again
 * in the same statement, so that two reconcilers never hand out the same one.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function claimArrived(store: Store, olderThanSeconds: number, limit: number): Promise<readonly ArrivedEvent[]> {
  return translated(store.prisma.$queryRaw<ArrivedEvent[]>`
    WITH due AS (
      SELECT event_id FROM arrived_events WHERE handed_out_at < now() - make_interval(secs => ${olderThanSeconds}::int)
      ORDER BY handed_out_at, event_id LIMIT ${limit} FOR UPDATE SKIP LOCKED
    )
    UPDATE arrived_events a SET handed_out_at = now() FROM due WHERE a.event_id = due.event_id
    RETURNING a.event_id AS "eventId", a.topic, a.action`);
}

/**
 * Gives an event up: it is told to the dead letters with the reason, and not handed out again. Whoever dies before its job says so
 * tells it twice, under the same id.
 */
export async function giveUpEvent(tx: Transaction, { eventId, topic, action }: ArrivedEvent, reason: string): Promise<void> {
  await tx.$executeRaw`DELETE FROM arrived_events WHERE event_id = ${eventId}`;
  const letter = JSON.stringify({ consumedEventId: eventId, topic, action, reason });
  await tx.$executeRaw`INSERT INTO outbox (event_id, channel, topic, key, payload)
    VALUES (md5(${`given up: ${eventId}`})::uuid, 'event', ${deadTopicOf(topic)}, ${eventId}, ${letter}::jsonb)`;
}
