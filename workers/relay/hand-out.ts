import { type DeliverPayload, MAX_DELIVERY_ROWS } from '../../queues/jobs/deliver.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import { spanRecorder } from '../../shared/spans.ts';
import { type HandedOut, handOutBilling, handOutUsage, handOutNotices as noteHandedOut } from '../../shared/store/hand-out.ts';
import type { Store } from '../../shared/store/store.ts';
import type { Tally } from './tally.ts';

/** Where delivery jobs go. */
export interface DeliveryQueue {
  /** Adds wake-ups; one whose id is there already changes nothing. @throws QUEUE_UNAVAILABLE */
  deliver(payloads: readonly DeliverPayload[]): Promise<void>;
  /** Jobs waiting. @throws QUEUE_UNAVAILABLE */
  waiting(queue: 'delivery' | 'billing' | 'notice'): Promise<number>;
}

/** Rows of each kind handed out in one round. */
const BATCH = 2_000;

/** Jobs waiting above which nothing more is handed out: rows wait better in Postgres, and no wake-up is sent twice. */
const MAX_WAITING_JOBS = 200;

/** After this long without an attempt the job of a row is taken for lost, ms. */
export const LOST_AFTER_MS = 30_000;

/**
 * One round: hands the due reports of use and the due bills to the delivery jobs.
 *
 * The rows are noted as handed out first. Should the process die, or Redis refuse, before the jobs exist, they are
 * handed out again after `lostAfterMs`.
 *
 * @returns whether there may be more to do at once
 * @throws STORE_UNAVAILABLE, QUEUE_UNAVAILABLE
 */
export async function handOut(store: Store, queue: DeliveryQueue, lostAfterMs: number, tally: Tally): Promise<boolean> {
  const [usage, billing] = await Promise.all([
    hasRoom(queue, 'delivery').then((room) => (room ? handOutUsage(store, BATCH, lostAfterMs) : [])),
    hasRoom(queue, 'billing').then((room) => (room ? handOutBilling(store, BATCH, lostAfterMs) : [])),
  ]);
  const payloads = [
    ...inChunks(usage).map((rows): DeliverPayload => ({ kind: 'usage', ...carried(rows) })),
    ...inChunks(billing).map((ids): DeliverPayload => ({ kind: 'billing', ids })),
  ];
  if (payloads.length > 0) await deliverAll(queue, payloads);
  tally.add('usageReports', usage.length);
  tally.add('bills', billing.length);
  return usage.length === BATCH || billing.length === BATCH;
}

async function deliverAll(queue: DeliveryQueue, payloads: readonly DeliverPayload[]): Promise<void> {
  faultPoint('hand-out.1');
  await queue.deliver(payloads);
  faultPoint('hand-out.2');
}

/**
 * One round: hands the due notices to their own jobs, beside everything else.
 *
 * @returns whether there may be more to do at once
 * @throws STORE_UNAVAILABLE, QUEUE_UNAVAILABLE
 */
export async function handOutNotices(store: Store, queue: DeliveryQueue, lostAfterMs: number, tally: Tally): Promise<boolean> {
  if (!(await hasRoom(queue, 'notice'))) return false;
  const notices = await noteHandedOut(store, BATCH, lostAfterMs);
  if (notices.length > 0) await deliverNotices(queue, notices);
  tally.add('notices', notices.length);
  return notices.length === BATCH;
}

async function deliverNotices(queue: DeliveryQueue, notices: readonly HandedOut[]): Promise<void> {
  faultPoint('tell.1');
  await queue.deliver(inChunks(notices).map((rows): DeliverPayload => ({ kind: 'notice', ...carried(rows) })));
  faultPoint('tell.2');
}

async function hasRoom(queue: DeliveryQueue, name: 'delivery' | 'billing' | 'notice'): Promise<boolean> {
  return (await queue.waiting(name)) < MAX_WAITING_JOBS;
}

/** The job belongs to the trace of the row it is named after; the calls for the others go on in theirs, and link to it. */
function carried(rows: readonly HandedOut[]): { ids: string[]; traceId?: string } {
  const traceId = spanRecorder() === undefined ? null : (rows[0]?.traceId ?? null);
  return { ids: rows.map(({ id }) => id), ...(traceId === null ? {} : { traceId }) };
}

function inChunks<T>(rows: readonly T[]): T[][] {
  const count = Math.ceil(rows.length / MAX_DELIVERY_ROWS);
  return Array.from({ length: count }, (_, index) => rows.slice(index * MAX_DELIVERY_ROWS, (index + 1) * MAX_DELIVERY_ROWS));
}
