import { announceLate } from '../../shared/run/announce-late.ts';
import type { Store } from '../../shared/store/store.ts';
import { timeOutRequests } from '../../shared/store/undecided.ts';
import { unparkStale } from '../../shared/store/unpark.ts';
import type { AnnounceServedParts } from './announce-served.ts';

/** Whoever was passed over for so long tries again, s: a balance may have come back without a word. */
const PARKED_FOR_S = 30;
const BATCH = 1_000;
const PARKED_BATCH = 200;

/** Ends what has waited longer than it wanted to, and lets those try again that were passed over for long. */
export async function tidy(parts: AnnounceServedParts & { readonly store: Store }): Promise<void> {
  const { store } = parts;
  for (;;) {
    const late = await timeOutRequests(store, BATCH);
    await announceLate(parts, late);
    if (late.length < BATCH) break;
  }
  await unparkStale(store, PARKED_FOR_S, PARKED_BATCH);
}
