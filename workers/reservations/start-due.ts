import type { BalanceFact, QuotaFact } from '../../shared/allocation/facts.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import type { ReservationRecord } from '../../shared/store/reservation-rows.ts';
import { type Start, type StartPolicy, startReservation } from '../../shared/store/start-reservation.ts';
import { dueReservations } from '../../shared/store/sweep-reservations.ts';
import { noteFaultOf, type SweepParts } from './sweep.ts';

export interface StartParts extends SweepParts {
  readonly quotaOf: (userId: string, options: { deadlineMs: number; traceId: string | undefined }) => Promise<QuotaFact>;
  readonly balanceOf: (userId: string, options: { deadlineMs: number; traceId: string | undefined }) => Promise<BalanceFact>;
  readonly policy: StartPolicy;
  readonly onOutcome: (outcome: Start) => void;
}

/** Reservations looked at together: their facts are gathered at once. */
const BATCH = 100;
/** Of those that start at the same time, so many at once. */
const PARALLEL = 4;
/** Longest time the facts of one may take to gather, ms. */
const GATHER_DEADLINE_MS = 8_000;

/**
 * Begins every reservation whose time has come, in the order of their starts, however late we are. One that cannot be dealt with
 * is noted in its row; the rest go on.
 *
 * @returns how many have begun
 */
export async function startDue(parts: StartParts, signal: AbortSignal): Promise<number> {
  let started = 0;
  let due: ReservationRecord[];
  let after: ReservationRecord | undefined;
  do {
    signal.throwIfAborted();
    due = await dueReservations(parts.store, BATCH, after);
    after = due.at(-1);
    const gathered = due.map((reservation) => ({ reservation, facts: gather(parts, reservation) }));
    for (const group of byStart(gathered)) started += await startGroup(parts, group, signal);
  } while (due.length === BATCH);
  return started;
}

interface Gathering {
  readonly reservation: ReservationRecord;
  readonly facts: Promise<[QuotaFact, BalanceFact]>;
}

function gather({ quotaOf, balanceOf }: StartParts, { userId, traceId }: ReservationRecord): Promise<[QuotaFact, BalanceFact]> {
  const options = { deadlineMs: GATHER_DEADLINE_MS, traceId: traceId ?? undefined };
  // Neither rejects: an outage is a fact.
  return Promise.all([quotaOf(userId, options), balanceOf(userId, options)]);
}

/** Those that start at the same time may begin side by side, and no earlier than those before them. */
function byStart(gathered: readonly Gathering[]): Gathering[][] {
  const groups: Gathering[][] = [];
  for (const each of gathered) {
    const last = groups.at(-1);
    const same = last?.[0]?.reservation.startsAt.getTime() === each.reservation.startsAt.getTime();
    if (same && last !== undefined && last.length < PARALLEL) last.push(each);
    else groups.push([each]);
  }
  return groups;
}

async function startGroup(parts: StartParts, group: readonly Gathering[], signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const begun = await Promise.all(group.map((each) => startOne(parts, each)));
  return begun.filter(Boolean).length;
}

async function startOne(parts: StartParts, { reservation, facts }: Gathering): Promise<boolean> {
  try {
    const [quota, balance] = await facts;
    faultPoint('start.1');
    const outcome = await startReservation(parts.store, { reservation, quota, balance }, parts.policy);
    faultPoint('start.6');
    parts.onOutcome(outcome);
    if (outcome.kind === 'failed' || outcome.kind === 'handed-over')
      parts.logger.warn(
        { reservationId: reservation.reservationId, ...outcome, ended: outcome.ended.length },
        'a reservation could not begin',
      );
    return outcome.kind === 'started';
  } catch (error) {
    await noteFaultOf(parts, reservation.reservationId, error, 'start');
    return false;
  }
}
