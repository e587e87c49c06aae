import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { ApiAnswer, ApiCall } from './api-caller.ts';
import { CliFailure } from './cli-failure.ts';
import { readAnswer } from './read-answer.ts';
import type { Session } from './session.ts';

/** How much of a list is wanted. */
export interface PageWords {
  readonly limit: number;
  readonly all?: boolean;
}

/** Some rows of a list, as the API gave them. */
export interface Rows {
  readonly items: readonly unknown[];
  readonly total: number;
  readonly nextCursor: string | null;
  /** The clock of the API. */
  readonly at: Date;
}

const LARGEST_PAGE = 100;
/** A longer pause than this is told as a failure instead of being waited for, s. */
const LONGEST_PAUSE_S = 60;

const page = z.object({ items: z.array(z.unknown()), total: z.int(), nextCursor: z.string().nullable() });

/** Reads rows through the cursor, page by page, until there are as many as wanted. */
export async function readPages(session: Session, path: string, query: ApiCall['query'], words: PageWords): Promise<Rows> {
  const wanted = words.all === true ? Number.POSITIVE_INFINITY : words.limit;
  const items: unknown[] = [];
  for (let cursor: string | undefined; ; ) {
    const limit = Math.min(LARGEST_PAGE, wanted - items.length);
    const answer = await patiently(session, { method: 'GET', path, query: { ...query, limit, cursor } });
    const read = readAnswer(page, answer.data);
    items.push(...read.items);
    if (read.nextCursor === null || items.length >= wanted) return { ...read, items, at: answer.at };
    cursor = read.nextCursor;
  }
}

/** A long list can use up the reads of a minute; the API says how long to wait. */
async function patiently(session: Session, call: ApiCall): Promise<ApiAnswer> {
  for (;;) {
    try {
      return await session.ask(call);
    } catch (error) {
      const facts = error instanceof CliFailure ? error.facts : undefined;
      if (facts?.code !== 'RATE_LIMITED' || facts.retryAfter === undefined || facts.retryAfter > LONGEST_PAUSE_S) throw error;
      const seconds = facts.retryAfter;
      session.progress.show(() => `as many reads as a minute allows; going on within ${seconds} s`);
      await pause(seconds * 1_000);
      session.progress.stop();
    }
  }
}
