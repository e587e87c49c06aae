import { z } from 'zod';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { partyId } from '../../shared/allocation/party-id.ts';
import { TIERS } from '../../shared/allocation/tier.ts';
import { askedEntry } from '../../shared/waitlist/asked-entry.ts';
import type { JobOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';
import { releaseJob } from './release.ts';

/** Name of the job that puts a user into the waiting queue. */
export const JOIN = 'join';

/** The caller's own words. `requestId` is the id of the entry. */
export const joinPayload = z.object({
  requestId: z.guid(),
  caller: z.string().min(1).max(300),
  userId: partyId,
  tenantId: partyId.nullable(),
  tier: z.enum(TIERS),
  asked: askedEntry,
  replyTo: z.string().max(100).optional(),
  traceId: z.string().max(200).optional(),
});

/** A payload as it is checked by the worker, and as it is sent. */
export type JoinPayload = z.output<typeof joinPayload>;
export type NewJoin = z.input<typeof joinPayload>;

/**
 * The closed set of answers to joining: those to an allocation request. Who waits is told the place (1 is next) and when a
 * device is expected, ISO 8601 in UTC; a repeat is told what became of the entry.
 */
export type JoinOutcome =
  | (Extract<AllocateOutcome, { status: 'waiting' }> & {
      readonly position?: number;
      readonly estimatedStart?: { readonly p50: string; readonly p90: string };
    })
  | Exclude<AllocateOutcome, { status: 'waiting' }>;

/** In a queue of its own: the short memory of finished wake-ups (`match`) would forget outcomes before they are read. */
export const joinJob = {
  queue: QUEUES.join,
  name: JOIN,
  payload: joinPayload,
  idOf: (payload: Pick<JoinPayload, 'requestId'>): string => payload.requestId,
  options: releaseJob.options satisfies JobOptions,
} as const;
