import { z } from 'zod';
import { partyId } from '../../shared/allocation/party-id.ts';
import type { ErrorCode, ErrorDetails } from '../../shared/errors.ts';
import type { Extension } from '../../shared/renewal/plan-extends.ts';
import type { JobOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';

/** Name of the job that gives allocations more time. */
export const EXTEND = 'extend';

/** Most allocations one call may extend. */
export const MAX_EXTENDS = 50;
/** Most minutes anybody may ask for at once; the tier of the allocation may allow less. */
export const MAX_ADDITIONAL_MINUTES = 1_440;

const reach = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('all') }),
  z.object({ kind: z.literal('tenant'), tenantId: partyId.nullable(), userId: partyId }),
  z.object({ kind: z.literal('user'), userId: partyId }),
]);

/** `extendId` names the call: with the id of an allocation it is the id of the extension, so a repeat extends nothing again. */
export const extendPayload = z.object({
  extendId: z.guid(),
  caller: z.string().min(1).max(300),
  reach,
  allocationIds: z.array(z.guid().toLowerCase()).min(1).max(MAX_EXTENDS),
  additionalMinutes: z.int().min(1).max(MAX_ADDITIONAL_MINUTES),
  fence: z.int().min(1).optional(),
  reason: z.string().max(500).optional(),
  replyTo: z.string().max(100).optional(),
  traceId: z.string().max(200).optional(),
});

export type ExtendPayload = z.output<typeof extendPayload>;

/** What became of one allocation. Times are ISO 8601 in UTC; `remainingExtends` -1: no limit. */
export type ExtendedItem =
  | {
      readonly status: 'extended';
      readonly allocationId: string;
      readonly oldExpiresAt: string;
      readonly newExpiresAt: string;
      readonly additionalMinutes: number;
      readonly extendCount: number;
      readonly remainingExtends: number;
      readonly totalDurationMinutes: number;
    }
  | {
      readonly status: 'refused';
      readonly allocationId: string;
      readonly code: ErrorCode;
      readonly reason: string;
      readonly details?: ErrorDetails;
    };

/** The answer to an extend job: one item an allocation, in the order they were named. */
export interface ExtendOutcome {
  readonly status: 'done';
  readonly items: readonly ExtendedItem[];
}

/** An extension in the words of the answer. */
export function extendedItem(extension: Extension): ExtendedItem {
  const { allocationId, additionalMinutes, extendCount, remainingExtends, totalDurationMinutes } = extension;
  const oldExpiresAt = extension.oldExpiresAt.toISOString();
  const newExpiresAt = extension.newExpiresAt.toISOString();
  return {
    status: 'extended',
    allocationId,
    oldExpiresAt,
    newExpiresAt,
    additionalMinutes,
    extendCount,
    remainingExtends,
    totalDurationMinutes,
  };
}

/** Retried soon: an allocation that is to be extended runs out. */
export const extendJob = {
  queue: QUEUES.extend,
  name: EXTEND,
  payload: extendPayload,
  idOf: (payload: Pick<ExtendPayload, 'extendId'>): string => payload.extendId,
  options: {
    attempts: 6,
    backoff: { type: 'exponential', delay: 200, jitter: 0.5 },
    removeOnComplete: { age: 600, count: 5_000, limit: 1_000 },
    removeOnFail: { age: 24 * 3_600, count: 5_000, limit: 1_000 },
  } satisfies JobOptions,
} as const;
