import { JOIN, type JoinOutcome, type JoinPayload, joinPayload } from '../../queues/jobs/join.ts';
import { MATCH, type MatchOutcome, type MatchPayload, matchPayload } from '../../queues/jobs/match.ts';
import type { Collector } from '../../shared/run/collector.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import type { MatchScope } from './match.ts';

export interface HandlerParts {
  /** Wake-ups that come together are one look. */
  readonly looks: Collector<MatchScope, MatchOutcome>;
  /** Ends what has waited too long, and lets those try again that were passed over for long. */
  readonly tidy: () => Promise<void>;
  readonly tell: (replyTo: string, id: string, outcome: MatchOutcome) => Promise<void>;
}

/** Which verb runs for which job of the queue `waitlist`. */
export function createHandlers(parts: HandlerParts): Record<typeof MATCH, JobHandler> {
  return { [MATCH]: checked(matchPayload, (payload) => look(parts, payload)) };
}

/** The verb of the queue `join`. */
export function createJoinHandlers(join: (payload: JoinPayload) => Promise<JoinOutcome>): Record<typeof JOIN, JobHandler> {
  return { [JOIN]: checked(joinPayload, join) };
}

async function look(
  { looks, tidy, tell }: HandlerParts,
  { devices, requests, look: everywhere, reply }: MatchPayload,
): Promise<MatchOutcome> {
  if (everywhere) await tidy();
  const outcome = await looks.submit({ devices, requests, everywhere, most: reply?.most ?? Number.MAX_SAFE_INTEGER });
  if (reply !== undefined) await tell(reply.to, reply.matchId, outcome);
  return outcome;
}
