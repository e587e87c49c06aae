import { z } from 'zod';
import type { JobOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';

/** Name of the job that gives free devices to whoever waits for them. */
export const MATCH = 'match';

/** Most ids one job carries; more is a look at everything. */
export const MAX_MATCH_IDS = 500;

/**
 * A wake-up: where to look. `devices` may have become free, `requests` may have become able to have one, `look` looks
 * everywhere and ends waits that have lasted too long. Rows say what is done, so a job may run twice, late or never.
 */
export const matchPayload = z.object({
  devices: z.array(z.guid()).max(MAX_MATCH_IDS).default([]),
  requests: z.array(z.guid()).max(MAX_MATCH_IDS).default([]),
  look: z.boolean().default(false),
  /** Who is told what came of it, under this id, and how many may be served at most. */
  reply: z.object({ matchId: z.guid(), to: z.string().max(100), most: z.int().min(1).max(50) }).optional(),
});

export type MatchPayload = z.output<typeof matchPayload>;

/** What came of it: who was served. */
export interface MatchOutcome {
  readonly processed: number;
  readonly fulfilled: readonly { readonly queueId: string; readonly allocationId: string; readonly deviceId: string }[];
}

export const matchJob = {
  queue: QUEUES.waitlist,
  name: MATCH,
  payload: matchPayload,
  /** No id: two wake-ups are never one, since the first may have looked already. The net every 5 s is the retry of the last resort. */
  options: {
    attempts: 3,
    backoff: { type: 'exponential', delay: 200, jitter: 0.5 },
    removeOnComplete: { age: 60, count: 100, limit: 1_000 },
    removeOnFail: { age: 24 * 3_600, count: 500, limit: 1_000 },
  } satisfies JobOptions,
} as const;
