import { z } from 'zod';
import type { JobOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';

/** Names of the jobs that tell the user-service of use, bill ended allocations, and tell people what has happened. */
export const DELIVER_USAGE = 'deliver-usage';
export const DELIVER_BILLING = 'deliver-billing';
export const DELIVER_NOTICE = 'deliver-notice';

/** Most rows one delivery job carries. */
export const MAX_DELIVERY_ROWS = 100;

const outboxIds = z
  .array(z.string().regex(/^\d{1,19}$/))
  .min(1)
  .max(MAX_DELIVERY_ROWS);

/** What led to the first row; only while spans are recorded. */
const traceId = z.string().max(200).optional();

/**
 * A wake-up: which rows to look at. The rows say whether and when they are delivered, how often it was tried and what
 * comes next, so running a job twice, late or never loses nothing. Outbox ids are bigint texts, ledger ids UUIDs.
 */
export const deliverPayload = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('usage'), ids: outboxIds, traceId }),
  z.object({ kind: z.literal('notice'), ids: outboxIds, traceId }),
  z.object({
    kind: z.literal('billing'),
    ids: z.array(z.guid()).min(1).max(MAX_DELIVERY_ROWS),
  }),
]);

export type DeliverPayload = z.output<typeof deliverPayload>;

export const deliverJob = {
  /** The name of the job, and the queue it waits in. */
  of: {
    usage: { name: DELIVER_USAGE, queue: QUEUES.delivery },
    billing: { name: DELIVER_BILLING, queue: QUEUES.billing },
    notice: { name: DELIVER_NOTICE, queue: QUEUES.notice },
  } as const satisfies Record<DeliverPayload['kind'], unknown>,
  payload: deliverPayload,
  /** The first row names the job: handing out the same head row twice while the first job waits is one job. */
  idOf: (payload: DeliverPayload): string => `${payload.kind}-${payload.ids[0]}`,
  /** One attempt: the row keeps the count and the time of the next one. Nothing is kept: a kept id would block the next wake-up. */
  options: {
    attempts: 1,
    backoff: { type: 'fixed', delay: 1_000 },
    removeOnComplete: { age: 1, count: 0, limit: 1_000 },
    removeOnFail: { age: 1, count: 0, limit: 1_000 },
  } satisfies JobOptions,
} as const;
