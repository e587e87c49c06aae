import { z } from 'zod';
import { partyId } from '../../shared/allocation/party-id.ts';
import { RELEASE_REASONS, type ReleaseOutcome, releaseJob } from './release.ts';

/** Name of the job that ends the allocations of one batch in one transaction. */
export const RELEASE_BATCH = 'release-batch';

/** Most allocations of a batch. */
export const MAX_BATCH_RELEASE = 100;

/** `userId` null: may act for everybody's allocations; `tenantId` set: only for those of this tenant. */
export const releaseBatchPayload = z.object({
  batchId: z.guid(),
  caller: z.string().min(1).max(300),
  userId: partyId.nullable(),
  tenantId: partyId.nullable(),
  allocationIds: z.array(z.guid()).min(1).max(MAX_BATCH_RELEASE),
  reason: z.string().max(500).optional(),
  endReason: z.enum(RELEASE_REASONS),
  replyTo: z.string().max(100).optional(),
  traceId: z.string().max(200).optional(),
});

export type ReleaseBatchPayload = z.output<typeof releaseBatchPayload>;

/** What became of the allocations of a batch, in the order named. */
export interface ReleaseBatchOutcome {
  readonly batchId: string;
  readonly outcomes: readonly ReleaseOutcome[];
}

export const releaseBatchJob = {
  queue: releaseJob.queue,
  name: RELEASE_BATCH,
  payload: releaseBatchPayload,
  idOf: (payload: Pick<ReleaseBatchPayload, 'batchId'>): string => payload.batchId,
  options: releaseJob.options,
} as const;
