import { z } from 'zod';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import type { AllocationRequest } from '../../shared/allocation/facts.ts';
import { partyId } from '../../shared/allocation/party-id.ts';
import { TIERS } from '../../shared/allocation/tier.ts';
import type { RetryOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';

export type {
  AllocateOutcome,
  GrantedAllocation,
} from '../../shared/allocation/outcome.ts';

/** Name of the job that decides one allocation request. */
export const ALLOCATE = 'allocate';

/**
 * The caller's own words. No device, no quota, no secret: the worker gathers facts when it decides.
 * `acceptedAt` is the caller's clock in ms and feeds metrics only; `fairStart` is the job's place in the fair order.
 */
export const allocatePayload = z.object({
  requestId: z.guid(),
  caller: z.string().min(1).max(300),
  source: z.enum(['http', 'client', 'event', 'reservation']),
  userId: partyId,
  tenantId: partyId.nullable(),
  tier: z.enum(TIERS),
  asked: askedAllocation,
  traceId: z.string().max(200).optional(),
  replyTo: z.string().max(100).optional(),
  acceptedAt: z.number(),
  fairStart: z.number(),
});

export type AllocatePayload = z.output<typeof allocatePayload>;

/** What is asked, without the job's own words about it. */
export function requestOf({ requestId, caller, source, userId, tenantId, tier, asked, traceId }: AllocatePayload): AllocationRequest {
  return { requestId, caller, source, userId, tenantId, tier, asked, traceId };
}

/** An allocate job before the fair order has placed it. */
export type NewAllocate = Omit<AllocatePayload, 'fairStart'>;

/**
 * The job id is the request id: asking twice while the first waits is one job.
 * Retried soon, since somebody waits; after the last attempt the reconciler asks again. How long finished jobs are kept
 * is said by the worker (`KEPT`), not in each of many waiting jobs.
 */
export const allocateJob = {
  queue: QUEUES.allocate,
  name: ALLOCATE,
  payload: allocatePayload,
  idOf: (payload: Pick<AllocatePayload, 'requestId'>): string => payload.requestId,
  options: { attempts: 5, backoff: { type: 'exponential', delay: 200, jitter: 0.5 } } satisfies RetryOptions,
} as const;
