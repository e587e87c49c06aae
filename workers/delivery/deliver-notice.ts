import { setTimeout as pause } from 'node:timers/promises';
import type { NotificationClient } from '../../shared/clients/notification-client.ts';
import { messageOf } from '../../shared/errors.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import { type Manner, notificationOf, priorityOf } from '../../shared/notices/notice.ts';
import { type ClaimedNotice, claimNotices } from '../../shared/store/notices.ts';
import { markDelivered } from '../../shared/store/outbox.ts';
import { failRows, giveBackRows, type PutOff } from '../../shared/store/outbox-attempts.ts';
import { type Answered, addUp, type DeliveryDeps, type DeliveryOutcome, NOTHING_DELIVERED, sortAnswers } from './delivery-deps.ts';
import { NOTICE_WINDOW_MS, type NoticeLimit } from './notice-limit.ts';

export interface NoticeDeps extends Pick<DeliveryDeps, 'store' | 'policy' | 'metrics' | 'logger'> {
  readonly notifications: NotificationClient;
  readonly limit: NoticeLimit;
  readonly manner: Manner;
}

/** How long a job waits for a notification-service that is left alone, and how often it looks, ms. */
const PATIENCE = { longestMs: 5_000, everyMs: 250 };

/**
 * Tells people: claim → limit → send → note. What is above the limit of its user is put off and not counted as an attempt.
 *
 * Killed between any two lines it loses nothing: the lease ends, the notice is sent again under the same key.
 *
 * @param ids     outbox ids of the wake-up
 * @param signal  nothing is claimed once it is aborted
 */
export async function deliverNotice(deps: NoticeDeps, ids: readonly string[], signal: AbortSignal): Promise<DeliveryOutcome> {
  if (!(await isAnswering(deps.notifications, signal))) return NOTHING_DELIVERED;
  const claimed = await claimNotices(deps.store, ids, deps.policy.leaseMs);
  if (claimed.length > 0) faultPoint('notice.1');
  const { now, later } = await divide(deps.limit, claimed);
  await giveBackRows(deps.store, 'notice', later);
  const answers = await Promise.all(now.map((row) => sendOne(deps, row)));
  if (answers.length > 0) faultPoint('notice.2');
  const noted = await note(deps, answers);
  if (answers.length > 0) faultPoint('notice.3');
  return addUp(deps, 'notice', NOTHING_DELIVERED, { ...noted, givenBack: noted.givenBack + later.length });
}

/**
 * While the service is left alone, jobs wait and rows stay untouched: the relay stops handing out when enough jobs wait, so
 * an outage of hours costs the database nothing. What is not claimed is handed out again.
 */
async function isAnswering(notifications: NotificationClient, signal: AbortSignal): Promise<boolean> {
  const until = performance.now() + PATIENCE.longestMs;
  while (notifications.isLeftAlone() && !signal.aborted && performance.now() < until) await pause(PATIENCE.everyMs);
  return !notifications.isLeftAlone() && !signal.aborted;
}

/** What may go now, and what waits for a later minute of its user. Urgent notices are not counted. */
async function divide(limit: NoticeLimit, claimed: readonly ClaimedNotice[]): Promise<{ now: ClaimedNotice[]; later: PutOff[] }> {
  const counted = claimed.filter(({ topic, payload }) => priorityOf(topic, payload) !== 'urgent');
  const byUser = Map.groupBy(counted, ({ userId }) => userId);
  const rooms = await limit.take(new Map([...byUser].map(([user, rows]) => [user, rows.length])));
  const later = [...byUser].flatMap(([user, rows]) => {
    const room = rooms.get(user) ?? { now: 0, waitMs: NOTICE_WINDOW_MS };
    return rows.slice(room.now).map(({ id }) => ({ id, waitMs: room.waitMs }));
  });
  const putOff = new Set(later.map(({ id }) => id));
  return { now: claimed.filter(({ id }) => !putOff.has(id)), later };
}

async function sendOne({ notifications, policy, manner }: NoticeDeps, row: ClaimedNotice): Promise<Answered> {
  try {
    const notification = notificationOf(row.topic, row.payload, manner);
    const context = { deadlineMs: policy.callMs, traceId: row.traceId ?? undefined };
    return { id: row.id, answer: await notifications.send(notification, row.eventId, context) };
  } catch (error) {
    return { id: row.id, answer: { kind: 'refused', status: 0, reason: `cannot be told: ${messageOf(error)}` } };
  }
}

async function note({ store, policy, logger }: NoticeDeps, answers: readonly Answered[]): Promise<DeliveryOutcome> {
  const { delivered, givenBack, failed } = sortAnswers(answers);
  if (delivered.length > 0) await markDelivered(store, delivered);
  await giveBackRows(
    store,
    'notice',
    givenBack.map((id) => ({ id, waitMs: policy.notAskedPauseMs })),
  );
  const dead = await failRows(store, 'notice', failed, policy.pause, policy.maxAttempts);
  if (dead.length > 0) logger.error({ outboxIds: dead, reason: failed[0]?.reason }, 'notices given up after their last attempt');
  return { delivered: delivered.length, givenBack: givenBack.length, failed: failed.length - dead.length, dead: dead.length };
}
