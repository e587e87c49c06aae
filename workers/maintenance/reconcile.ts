import { requestOf } from '../../queues/jobs/allocate.ts';
import { eventJob } from '../../queues/jobs/event.ts';
import type { Producer } from '../../queues/producer.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { announceLate } from '../../shared/run/announce-late.ts';
import { claimArrived } from '../../shared/store/arrived-events.ts';
import { readKnownRequests } from '../../shared/store/batch-rows.ts';
import { closeStuckReservations } from '../../shared/store/close-stuck-reservations.ts';
import { forgetUnstuck } from '../../shared/store/end-in-batches.ts';
import { repairHolds } from '../../shared/store/repair-holds.ts';
import { repairUsage } from '../../shared/store/repair-usage.ts';
import { readRuns } from '../../shared/store/scheduled-runs.ts';
import type { Store } from '../../shared/store/store.ts';
import { tidyStrategies } from '../../shared/store/strategies.ts';
import { claimUndecided, timeOutRequests, type UndecidedRequest } from '../../shared/store/undecided.ts';
import { unsettledDevices } from '../../shared/store/unsettled-devices.ts';
import { reviveEvents } from './revive-events.ts';
import { showDeadLetters } from './show-dead-letters.ts';
import { type TellParts, tellFreed } from './tell-freed.ts';

export interface ReconcileParts extends TellParts {
  readonly store: Store;
  readonly producer: Producer;
  readonly metrics: Metrics;
  /** A request is looked after once its job had this long to run, s; `GRACE_S` unless said otherwise. */
  readonly graceSeconds?: number;
}

/** How long a request is left to its job, s. */
export const GRACE_S = 10;
/** How long an event is left to its job, s. */
const EVENT_GRACE_S = 60;
/** Requests looked at in one round. */
const BATCH = 1_000;
/** Devices compared with their allocations in one run: a fleet of a million is through in less than an hour. */
const HOLDS = 20_000;
/** Allocations compared with the reports of their use in one run. */
const USES = 20_000;
/** Failed jobs looked at in one run. */
const FAILED_JOBS = 200;

/** What one run repaired. `holdsCheckedTo`, `usageCheckedTo`: where the next one goes on with fleet and allocations; nothing: at the beginning. */
export interface Reconciled {
  readonly handedOut: number;
  readonly timedOut: number;
  readonly eventsHandedOut: number;
  readonly jobsRevived: number;
  readonly eventsRevived: number;
  readonly holdsRepaired: number;
  readonly reservationsClosed: number;
  readonly devicesSettled: number;
  readonly usesReported: number;
  /** Dead letters there are. */
  readonly deadLetters: number;
  readonly holdsCheckedTo: string | null;
  readonly usageCheckedTo: string | null;
}

/**
 * Repairs what a lost Redis or a killed process left behind: pending requests without a job are handed out again, oldest
 * first; requests past their deadline are ended; events whose last attempt fell into an outage are tried again, and events without
 * a job handed out again; jobs of a client that failed before there was a row are tried again; devices say what their allocations say; reservations do not outlive their
 * allocations; nobody holds a device that is out of service; use that was not reported is. Running a request twice changes
 * nothing, so a doubt is resolved by handing it out.
 */
export async function reconcile(parts: ReconcileParts, signal: AbortSignal): Promise<Readonly<Record<keyof Reconciled, unknown>>> {
  const late = await timeOutRequests(parts.store, BATCH);
  await announceLate(parts, late);
  let handedOut = 0;
  for (;;) {
    signal.throwIfAborted();
    const undecided = await claimUndecided(parts.store, parts.graceSeconds ?? GRACE_S, BATCH);
    handedOut += await handOutLost(parts, undecided);
    if (undecided.length < BATCH) break;
  }
  // First who killed its workers is given up: handed out again it would go on killing them.
  const eventsRevived = await reviveEvents(parts);
  const eventsHandedOut = await handOutEvents(parts);
  const jobsRevived = await reviveJobs(parts);
  const last = await lastResult(parts.store);
  const holds = await repairHolds(parts.store, checkedTo(last, 'holdsCheckedTo'), HOLDS);
  const { closed, freed } = await closeStuckReservations(parts.store, BATCH);
  const regained = [...holds.repaired, ...freed];
  if (regained.length > 0) await tellFreed(parts, { devices: regained });
  const settled = await unsettledDevices(parts.store, parts.graceSeconds ?? GRACE_S, BATCH);
  await parts.producer.settleDevices(settled);
  const usage = await repairUsage(parts.store, checkedTo(last, 'usageCheckedTo'), USES);
  const deadLetters = await showDeadLetters(parts);
  await forgetUnstuck(parts.store);
  await tidy(parts);
  const repairs = {
    handedOut,
    timedOut: late.length,
    eventsHandedOut,
    jobsRevived,
    eventsRevived,
    holdsRepaired: holds.repaired.length,
    reservationsClosed: closed.length,
    devicesSettled: settled.length,
    usesReported: usage.repaired.length,
  };
  note(parts, repairs, { devices: [...holds.repaired, ...settled], reservations: closed, allocations: usage.repaired });
  return { ...repairs, deadLetters, holdsCheckedTo: holds.checkedTo, usageCheckedTo: usage.checkedTo };
}

/** Repairs as they are counted in `scheduler_reconciled_total`. */
const COUNTED = {
  handedOut: 'request-handed-out',
  timedOut: 'request-timed-out',
  eventsHandedOut: 'event-handed-out',
  jobsRevived: 'job-revived',
  eventsRevived: 'event-revived',
  holdsRepaired: 'hold-repaired',
  reservationsClosed: 'reservation-closed',
  devicesSettled: 'device-settled',
  usesReported: 'use-reported',
} as const satisfies Partial<Record<keyof Reconciled, string>>;

function note(
  { metrics, logger }: ReconcileParts,
  repairs: Readonly<Record<keyof typeof COUNTED, number>>,
  rows: Readonly<Record<'devices' | 'reservations' | 'allocations', readonly string[]>>,
): void {
  for (const name of Object.keys(COUNTED) as (keyof typeof COUNTED)[]) metrics.reconciled.inc({ repair: COUNTED[name] }, repairs[name]);
  if (Object.values(repairs).some((count) => count > 0)) logger.warn({ ...repairs, ...rows }, 'reconciled');
}

/** Events that were acknowledged and have had no effect: a minute is more than their attempts take. What cannot be read any more stays. */
async function handOutEvents({ store, producer, graceSeconds = EVENT_GRACE_S }: ReconcileParts): Promise<number> {
  const arrived = await claimArrived(store, graceSeconds, BATCH);
  const events = arrived.flatMap((event) => eventJob.payload.safeParse(event).data ?? []);
  await producer.eventsAgain(events);
  return events.length;
}

/** Jobs that failed for good although their request was never decided: a client's, whose row is written when it is decided. */
async function reviveJobs({ store, producer }: ReconcileParts): Promise<number> {
  const failed = await producer.failed(FAILED_JOBS);
  const known = await readKnownRequests(
    store,
    failed.map(({ requestId }) => requestId),
  );
  const lost = failed.filter(({ requestId, asked, acceptedAt }) => !known.has(requestId) && isInTime(asked.maxWaitMinutes, acceptedAt));
  await producer.allocateAgain(lost.map((payload) => ({ ...requestOf(payload), createdAt: new Date(payload.acceptedAt) })));
  return lost.length;
}

/** Nobody is given a device later than they would have waited for one. */
function isInTime(maxWaitMinutes: number, acceptedAt: number): boolean {
  return Date.now() < acceptedAt + maxWaitMinutes * 60_000;
}

async function lastResult(store: Store): Promise<unknown> {
  return (await readRuns(store)).find(({ job }) => job === 'reconcile')?.lastResult;
}

function checkedTo(last: unknown, name: 'holdsCheckedTo' | 'usageCheckedTo'): string | null {
  const position: unknown = typeof last === 'object' && last !== null ? Reflect.get(last, name) : null;
  return typeof position === 'string' ? position : null;
}

async function handOutLost({ producer }: ReconcileParts, undecided: readonly UndecidedRequest[]): Promise<number> {
  const onTheirWay = await producer.underWay(undecided.map(({ requestId }) => requestId));
  const lost = undecided.filter(({ requestId }) => !onTheirWay.has(requestId));
  await producer.allocateAgain(lost);
  return lost.length;
}

/** What strategies that are not in force any more have left. The fleet may be too busy for it; then it stays until the next round. */
async function tidy({ store, logger }: ReconcileParts): Promise<void> {
  try {
    const dropped = await tidyStrategies(store);
    if (dropped.length > 0) logger.info({ dropped }, 'dropped the indexes of strategies that are not in force');
  } catch (error) {
    logger.warn({ err: error }, 'could not tidy up after the last strategy; the next round tries again');
  }
}
