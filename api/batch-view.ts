import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../shared/errors.ts';

/** What did not work out for one item of a batch, beside what names the item. */
const failure = { code: z.string(), reason: z.string() };

/**
 * The answer of every batch that changes something: what worked out, item by item, and what did not.
 *
 * @param name     the field that names a failed item: `userId` or `allocationId`
 * @param success  what is said of an item that worked out
 */
export function batchAnswer<T extends z.ZodType>(name: 'userId' | 'allocationId', success: T) {
  return z.object({
    successCount: z.int(),
    failedCount: z.int(),
    totalCount: z.int(),
    successes: z.array(success),
    failures: z.array(z.object({ [name]: z.string(), ...failure })),
    executionTimeMs: z.int().describe('Taken by the server for the whole batch'),
  });
}

/** One item: it worked out, or why not. */
export type BatchItem<Success, Name> =
  | { readonly ok: true; readonly success: Success }
  | { readonly ok: false; readonly failure: Name & { readonly code: string; readonly reason: string } };

/** An item that failed, in the words of the catalogue unless there are better ones. */
export function failed<Name extends object>(named: Name, code: ErrorCode, reason?: string): BatchItem<never, Name> {
  return { ok: false, failure: { ...named, code, reason: reason ?? ERRORS[code].message } };
}

/** @param began  `performance.now()` when the call came in */
export function viewBatch<Success, Name>(items: readonly BatchItem<Success, Name>[], began: number) {
  const successes = items.flatMap((item) => (item.ok ? [item.success] : []));
  const failures = items.flatMap((item) => (item.ok ? [] : [item.failure]));
  return {
    successCount: successes.length,
    failedCount: failures.length,
    totalCount: items.length,
    successes,
    failures,
    executionTimeMs: Math.round(performance.now() - began),
  };
}
