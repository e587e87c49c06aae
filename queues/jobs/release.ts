import { z } from 'zod';
import { partyId } from '../../shared/allocation/party-id.ts';
import type { ErrorDetails } from '../../shared/errors.ts';
import type { JobOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';

/** Name of the job that ends one allocation. */
export const RELEASE = 'release';

/** Reasons a release may state; the others of the catalogue are given by the workers that end allocations themselves. */
export const RELEASE_REASONS = ['released', 'batch_released', 'admin_released', 'order_released'] as const;

/**
 * `userId` null: may act for everybody's allocation; `tenantId` set: only for those of this tenant.
 * One of `deviceId` and `allocationId` says which allocation is meant. The API, which can read them, states the allocation as well when
 * a device was named to it; then the allocation counts.
 */
export const releasePayload = z
  .object({
    releaseId: z.guid(),
    caller: z.string().min(1).max(300),
    userId: partyId.nullable(),
    tenantId: partyId.nullable(),
    deviceId: z.guid().optional(),
    allocationId: z.guid().optional(),
    fence: z.int().min(1).optional(),
    reason: z.string().max(500).optional(),
    endReason: z.enum(RELEASE_REASONS),
    replyTo: z.string().max(100).optional(),
    traceId: z.string().max(200).optional(),
  })
  .refine((payload) => payload.deviceId !== undefined || payload.allocationId !== undefined, 'deviceId or allocationId is needed');

export type ReleasePayload = z.output<typeof releasePayload>;

/** The closed set of answers to a release. */
export type ReleaseOutcome =
  | {
      readonly status: 'released';
      readonly allocationId: string;
      readonly deviceId: string;
      readonly durationSeconds: number;
      readonly endReason: string;
    }
  | {
      readonly status: 'refused';
      readonly code: 'ALLOCATION_NOT_FOUND' | 'STALE_FENCE';
      readonly details?: ErrorDetails;
    };

export const releaseJob = {
  queue: QUEUES.release,
  name: RELEASE,
  payload: releasePayload,
  idOf: (payload: Pick<ReleasePayload, 'releaseId'>): string => payload.releaseId,
  options: {
    attempts: 8,
    backoff: { type: 'exponential', delay: 200, jitter: 0.5 },
    removeOnComplete: { age: 600, count: 5_000, limit: 1_000 },
    removeOnFail: { age: 7 * 24 * 3_600, count: 10_000, limit: 1_000 },
  } satisfies JobOptions,
} as const;
