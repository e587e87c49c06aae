import { z } from 'zod';
import type { ErrorCode } from '../../shared/errors.ts';
import type { JobOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';
import { releaseJob } from './release.ts';

/** Name of the job that withdraws a request that is not decided yet. It shares the short queue of releases. */
export const CANCEL = 'cancel';

export const cancelPayload = z.object({
  cancelId: z.guid(),
  requestId: z.guid(),
  caller: z.string().min(1).max(300),
  replyTo: z.string().max(100).optional(),
  traceId: z.string().max(200).optional(),
});

export type CancelPayload = z.output<typeof cancelPayload>;

/** The closed set of answers to a cancellation. `REQUEST_DECIDED`: too late, the outcome stands. */
export type CancelOutcome =
  | { readonly status: 'cancelled'; readonly requestId: string }
  | {
      readonly status: 'refused';
      readonly requestId: string;
      readonly code: Extract<ErrorCode, 'REQUEST_NOT_FOUND' | 'REQUEST_DECIDED'>;
    };

export const cancelJob = {
  queue: QUEUES.release,
  name: CANCEL,
  payload: cancelPayload,
  idOf: (payload: Pick<CancelPayload, 'cancelId'>): string => payload.cancelId,
  options: releaseJob.options satisfies JobOptions,
} as const;
