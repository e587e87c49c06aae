import { hash } from 'node:crypto';
import type { AskedAllocation } from '../allocation/asked.ts';
import { decideEligibility, type Eligibility, type Refusal } from '../allocation/decide-eligibility.ts';
import type { AllocationRequest, BalanceFact, GatheredRequest, OutagePolicy, QuotaFact, UserFacts } from '../allocation/facts.ts';
import { dearestCovered, termCost, uncoveredTerm } from '../allocation/full-term.ts';
import type { GroupFacts } from '../allocation/plan-group.ts';
import { reservationEvent } from '../events.ts';
import { faultPoint } from '../fault-point.ts';
import { localWishes } from '../placement/local-wishes.ts';
import { preferenceOf, requirementOf } from '../placement/requirement.ts';
import type { Strategy } from '../placement/strategy.ts';
import { largestFitting } from '../quota/limits.ts';
import { decideStart, decideWithoutDevice, type OwnDevice } from '../reservation/decide-start.ts';
import { insertWaiting } from './begin-waiting.ts';
import { allocationIdOf, commitGrants } from './commit-grants.ts';
import { type EndedAllocation, type Ending, endAllocations } from './end-allocations.ts';
import { lockUsers, readGroupFacts } from './grant-facts.ts';
import { type OwnedDevice, readOwnDevice } from './own-device.ts';
import { type PickedDevice, pickDevices } from './pick-devices.ts';
import { bookingOf, RESERVATION, type ReservationRecord, tell, toldOfFailure } from './reservation-rows.ts';
import type { Store, Transaction } from './store.ts';
import { awaitTurn } from './strategy-locks.ts';

/** What the start of a reservation goes by. */
export interface StartPolicy extends OutagePolicy {
  /** In force; its books are kept by every grant. */
  readonly strategy: Strategy;
  readonly ending: Ending;
  /** How long it is kept for who may not have it yet, from its start on, s; 0: until its end. */
  readonly patienceSeconds: number;
  /** Since when reservations are being started without a break: nobody's patience is measured before. */
  readonly upSince: Date;
}

/** What was gathered for a due reservation outside the transaction. */
export interface GatheredStart {
  readonly reservation: ReservationRecord;
  readonly quota: QuotaFact;
  readonly balance: BalanceFact;
}

/** The closed set of answers. `passed`: it is not due any more, or somebody else is at it. */
export type StartOutcome =
  | { readonly kind: 'started'; readonly allocationId: string; readonly swapped: boolean }
  | { readonly kind: 'later' | 'failed'; readonly code: string }
  | { readonly kind: 'handed-over'; readonly queueId: string }
  | { readonly kind: 'passed' };

/** An answer, and what is free by it: `ended` leases whose time was over, and the device the reservation was booked on and has `left`. */
export type Start = StartOutcome & { readonly ended: readonly EndedAllocation[]; readonly left: string | null };

const MINUTE_MS = 60_000;
/** Pause before one that may not begin yet is asked again, s. */
const LATER_S = 5;
/** Longest wait in the waiting queue, minutes. */
const LONGEST_WAIT = 120;

/**
 * Begins one due reservation: a grant, written by the same statement as any other, that ends when the reservation does.
 *
 * In one transaction: wait for the turn where devices are spread; lock the user, then the reservation; end leases of the device and of the user whose time is over, so that
 * back-to-back bookings never overlap and the lease before does not count against the limits; read, decide, write.
 *
 * @throws SchedulerError STORE_UNAVAILABLE; anything else is the reservation's own fault and stops no other one
 */
export function startReservation(store: Store, gathered: GatheredStart, policy: StartPolicy): Promise<Start> {
  return store.transaction((tx) => start(tx, gathered, policy));
}

async function start(tx: Transaction, { reservation: seen, quota, balance }: GatheredStart, policy: StartPolicy): Promise<Start> {
  if (policy.strategy.type === 'load_balancing') await awaitTurn(tx);
  await lockUsers(tx, [{ request: requestFor(seen, 1), quota, balance }]);
  const found = await lockDue(tx, seen.reservationId);
  if (found === undefined) return { kind: 'passed', ended: [], left: null };
  faultPoint('start.2');
  const due = withTimes(found, policy);
  const ended = await endBefore(tx, due.reservation, policy.ending);
  faultPoint('start.3');
  const outcome = await begin(tx, due, { quota, balance }, policy);
  const keeps = outcome.kind === 'later' || (outcome.kind === 'started' && !outcome.swapped);
  return { ...outcome, ended, left: keeps ? null : due.reservation.deviceId };
}

async function begin(
  tx: Transaction,
  { reservation, minutesLeft, patienceOver }: DueReservation,
  { quota, balance }: Omit<GatheredStart, 'reservation'>,
  policy: StartPolicy,
): Promise<StartOutcome> {
  const gathered = { request: requestFor(reservation, minutesLeft), quota, balance };
  const facts = await readGroupFacts(tx, [gathered], policy.strategy, policy.reserveFullTerm);
  const user = facts.users.get(reservation.userId);
  if (user === undefined) throw new Error(`user ${reservation.userId} was locked and is gone`);
  const existing = facts.existing.get(gathered.request.requestId);
  const eligibility = decideEligibility(gathered, existing, user, user.use, policy, facts.now);
  const own = await readOwnDevice(tx, reservation.deviceId);
  const { committed = 0 } = user;
  const cost = own?.state === 'free' && policy.reserveFullTerm === true ? termCost(own.device.costPerHour, minutesLeft) : 0;
  const unpaid = uncoveredTerm(balance, committed, cost);
  const decision = decideStart({ eligibility, device: stateOf(own), use: user.use, patienceOver, unpaid });
  const give = (device: PickedDevice, swapped: boolean) =>
    grant(tx, { reservation, gathered, eligibility, device, swapped, strategy: policy.strategy }, facts);
  if (decision.kind === 'start' && own?.state === 'free') return give(own.device, false);
  if (decision.kind === 'later') return putOff(tx, reservation, decision.refusal);
  if (decision.kind === 'fail') return fail(tx, reservation, decision.refusal, null);
  const other = await pickOther(tx, reservation, gathered, eligibility, user, policy);
  if (other !== undefined) return give(other, true);
  const short = decideWithoutDevice(stateOf(own), patienceOver);
  return short.kind === 'later' ? putOff(tx, reservation, short.refusal) : handOver(tx, reservation, gathered.request, short.refusal);
}

interface DueRow extends ReservationRecord {
  now: Date;
}

async function lockDue(tx: Transaction, reservationId: string): Promise<DueRow | undefined> {
  const [row] = await tx.$queryRaw<DueRow[]>`
    SELECT ${RESERVATION}, date_trunc('milliseconds', now()) AS now FROM reservations r
    WHERE r.id = ${reservationId}::uuid AND r.status IN ('pending', 'confirmed') AND r.starts_at <= now() AND r.ends_at > now()
    FOR UPDATE SKIP LOCKED`;
  return row;
}

/** A locked reservation whose time has come. */
interface DueReservation {
  readonly reservation: ReservationRecord;
  readonly minutesLeft: number;
  readonly patienceOver: boolean;
}

function withTimes({ now, ...reservation }: DueRow, { patienceSeconds, upSince }: StartPolicy): DueReservation {
  const since = Math.max(reservation.startsAt.getTime(), upSince.getTime());
  return {
    reservation,
    minutesLeft: Math.max(1, Math.ceil((reservation.endsAt.getTime() - now.getTime()) / MINUTE_MS)),
    patienceOver: patienceSeconds > 0 && now.getTime() - since >= patienceSeconds * 1_000,
  };
}

/** Ends what should have ended: the lease before on the device, and leases of the user that ran out. */
async function endBefore(tx: Transaction, { deviceId, userId }: ReservationRecord, ending: Ending): Promise<EndedAllocation[]> {
  const due = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM allocations WHERE device_id = ${deviceId}::uuid AND status = 'allocated' AND expires_at <= now()
    UNION SELECT id FROM allocations WHERE user_id = ${userId} AND ended_at IS NULL AND status = 'allocated' AND expires_at <= now()`;
  return endAllocations(
    tx,
    due.map(({ id }) => ({ allocationId: id, reason: 'expired' })),
    ending,
  );
}

function stateOf(own: OwnedDevice | undefined): OwnDevice {
  if (own === undefined) return { state: 'gone' };
  return own.state === 'free' ? { state: 'free', size: own.device } : { state: own.state };
}

/** Another device for the rest of the window, by the strategy in force; none if one was asked for by name. */
async function pickOther(
  tx: Transaction,
  { deviceId, wantedDeviceId }: ReservationRecord,
  { request, balance }: GatheredRequest,
  eligibility: Eligibility,
  { use, committed = 0, lastDeviceId, lastRegion = null }: UserFacts,
  { reserveFullTerm, strategy }: StartPolicy,
): Promise<PickedDevice | undefined> {
  if (wantedDeviceId !== null || eligibility.kind !== 'eligible') return undefined;
  const dearest = reserveFullTerm === true ? dearestCovered(balance, committed, request.asked.durationMinutes) : Infinity;
  const requirement = requirementOf(request.asked, request.tenantId, largestFitting(eligibility.limits, use), dearest);
  const preference = localWishes(preferenceOf(request.asked, null), strategy, { id: lastDeviceId, region: lastRegion });
  const wanted = { requirement, preference, rank: null, members: [] };
  const [device] = await pickDevices(tx, wanted, 1, deviceId === null ? [] : [deviceId], strategy.type);
  return device;
}

interface Begun {
  readonly reservation: ReservationRecord;
  readonly gathered: GatheredRequest;
  readonly eligibility: Eligibility;
  readonly device: PickedDevice;
  readonly swapped: boolean;
  readonly strategy: Strategy;
}

async function grant(
  tx: Transaction,
  { reservation, gathered, eligibility, device, swapped, strategy }: Begun,
  facts: GroupFacts,
): Promise<StartOutcome> {
  if (eligibility.kind !== 'eligible') throw new Error('who is not eligible is granted nothing');
  const { reservationId, traceId, deviceId: before } = reservation;
  const { requestId } = gathered.request;
  const allocationId = allocationIdOf(requestId);
  const extra = { allocationId, swappedFrom: swapped ? before : null };
  const told = reservationEvent('scheduler.reservation.executed', bookingOf({ ...reservation, deviceId: device.id }), extra);
  await tx.$executeRaw`
    WITH changed AS (
      UPDATE reservations r SET status = 'executing', device_id = ${device.id}::uuid, allocation_id = ${allocationId}::uuid, last_error = NULL, updated_at = now()
      WHERE r.id = ${reservationId}::uuid RETURNING r.id
    ) ${tell([{ of: reservationId, traceId, events: [told] }])}`;
  faultPoint('start.4');
  const { quotaUnchecked } = eligibility;
  const decision = {
    kind: 'granted' as const,
    device,
    quotaUnchecked,
    balanceUnchecked: eligibility.balanceUnchecked,
    until: reservation.endsAt,
  };
  // The device may have been freed by this very transaction, or by one that is younger than it: no lease starts before.
  const startsAt = new Date(Math.max(device.freeSince.getTime(), facts.now.getTime()));
  await commitGrants(tx, [gathered], new Map([[requestId, decision]]), facts.existing, strategy, startsAt);
  faultPoint('start.5');
  return { kind: 'started', allocationId, swapped };
}

async function putOff(tx: Transaction, { reservationId }: ReservationRecord, { code, reason }: Refusal): Promise<StartOutcome> {
  await tx.$executeRaw`
    UPDATE reservations SET next_attempt_at = now() + make_interval(secs => ${LATER_S}::int), last_error = ${`${code}: ${reason}`}, updated_at = now()
    WHERE id = ${reservationId}::uuid`;
  return { kind: 'later', code };
}

async function fail(
  tx: Transaction,
  reservation: ReservationRecord,
  { code, reason }: Refusal,
  queueId: string | null,
): Promise<StartOutcome> {
  const told = toldOfFailure(bookingOf(reservation), { code, reason, queueId }, reservation.traceId);
  await tx.$executeRaw`
    WITH changed AS (
      UPDATE reservations r SET status = 'failed', failure_code = ${code}, failure_reason = ${reason}, queue_entry_id = ${queueId}::uuid, updated_at = now()
      WHERE r.id = ${reservation.reservationId}::uuid RETURNING r.id
    ) ${tell([told])}`;
  return queueId === null ? { kind: 'failed', code } : { kind: 'handed-over', queueId };
}

/** What was promised cannot be given: the waiting queue takes over, ahead of everybody, for what is left of the time. */
async function handOver(
  tx: Transaction,
  reservation: ReservationRecord,
  request: AllocationRequest,
  refusal: Refusal,
): Promise<StartOutcome> {
  if (!(await insertWaiting(tx, request, { rank: 'highest' }))) throw new Error(`request ${request.requestId} exists already`);
  return fail(tx, reservation, refusal, request.requestId);
}

/** The reservation as a request for what is left of its time. Its id follows from the reservation's: it is granted once. */
function requestFor(reservation: ReservationRecord, minutesLeft: number): AllocationRequest {
  const { reservationId, userId, tenantId, tier, deviceType, wantedDeviceId, minCpu, minMemory, traceId } = reservation;
  const asked: AskedAllocation = {
    durationMinutes: minutesLeft,
    preferredSpecs: { ...(minCpu === null ? {} : { minCpu }), ...(minMemory === null ? {} : { minMemory }) },
    devicePreferences: { ...(deviceType === null ? {} : { deviceType }), ...(wantedDeviceId === null ? {} : { deviceId: wantedDeviceId }) },
    queueIfBusy: true,
    maxWaitMinutes: Math.min(LONGEST_WAIT, minutesLeft),
    autoExtend: false,
  };
  const caller = `reservation:${reservationId}`;
  return {
    requestId: requestIdOf(reservationId),
    caller,
    source: 'reservation',
    userId,
    tenantId,
    tier,
    asked,
    traceId: traceId ?? undefined,
  };
}

/** @returns the id of the request a reservation becomes */
export function requestIdOf(reservationId: string): string {
  const hex = hash('sha256', `reservation:${reservationId}`, 'hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
