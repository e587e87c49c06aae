import { announce } from '../../shared/run/announce.ts';
import { keepOutcomes } from '../../shared/run/completion.ts';
import type { Store } from '../../shared/store/store.ts';
import { timeOutRequests } from '../../shared/store/undecided.ts';
import { unparkStale } from '../../shared/store/unpark.ts';
import type { AnnounceServedParts } from './announce-served.ts';

/** Whoever was passed over for so long tries again, s: a balance may have come back without a word. */
const PARKED_FOR_S = 30;
const BATCH = 1_000;
const PARKED_BATCH = 200;

/** Ends what has waited longer than it wanted to, and lets those try again that were passed over for long. */
export async function tidy({ store, redis, prefix, metrics, logger }: AnnounceServedParts & { readonly store: Store }): Promise<void> {
  for (;;) {
    const late = await timeOutRequests(store, BATCH);
    const outcomes = late.map(({ requestId }) => ({
      id: requestId,
      outcome: { status: 'timed_out', requestId, code: 'REQUEST_TIMED_OUT' },
    }));
    const messages = late.flatMap(({ replyTo }, index) => {
      const ended = outcomes[index];
      return replyTo === null || ended === undefined ? [] : [{ replyTo, ...ended }];
    });
    await keepOutcomes(
      redis,
      prefix,
      outcomes.filter((_, index) => late[index]?.source === 'client'),
      logger,
    );
    if (late.length > 0) await announce(redis, prefix, { availability: false, outbox: true, outcomes: messages }, logger);
    metrics.decisions.inc({ outcome: 'timed_out', code: 'REQUEST_TIMED_OUT' }, late.length);
    if (late.length < BATCH) break;
  }
  await unparkStale(store, PARKED_FOR_S, PARKED_BATCH);
}
