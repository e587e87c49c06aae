import { z } from 'zod';

/** What a stand-in can be told to do wrong. Times in ms, `retryAfter` in seconds. */
export const faultSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('status'), status: z.int().min(300).max(599), retryAfter: z.number().min(0).optional() }),
  /** Answers correctly, late. */
  z.object({ kind: z.literal('slow'), ms: z.number().min(0) }),
  /** Takes the request and never answers. */
  z.object({ kind: z.literal('hang') }),
  /** Answers 200 with something that is no JSON. */
  z.object({ kind: z.literal('malformed') }),
  /** Answers 200 with JSON of another shape. */
  z.object({ kind: z.literal('wrong-shape') }),
  /** Answers 200 with a body without end. */
  z.object({ kind: z.literal('huge') }),
  /** Answers 200 one byte at a time, so that no socket timeout ever strikes. */
  z.object({ kind: z.literal('drip'), everyMs: z.number().min(1) }),
  /** Breaks the connection before doing anything. */
  z.object({ kind: z.literal('reset') }),
  /** Does what was asked, then breaks the connection instead of answering. */
  z.object({ kind: z.literal('lost-answer') }),
]);

export type Fault = z.output<typeof faultSchema>;

/** A fault with its reach: how many requests, and only those whose path contains `path`. */
export const plannedFaultSchema = z.object({ fault: faultSchema, times: z.int().min(1).optional(), path: z.string().optional() });

export type PlannedFault = z.output<typeof plannedFaultSchema>;

/** The faults a stand-in still has to commit. */
export interface Faults {
  plan(planned: PlannedFault): void;
  /** The fault for this request, counted down. */
  next(path: string): Fault | undefined;
  clear(): void;
}

export function createFaults(): Faults {
  let planned: { fault: Fault; left: number; path: string }[] = [];
  return {
    plan: ({ fault, times, path }) => void planned.push({ fault, left: times ?? Infinity, path: path ?? '' }),
    next(path) {
      const hit = planned.find((row) => path.includes(row.path));
      if (hit === undefined) return undefined;
      hit.left -= 1;
      if (hit.left <= 0) planned = planned.filter((row) => row !== hit);
      return hit.fault;
    },
    clear() {
      planned = [];
    },
  };
}
