import { randomUUID } from 'node:crypto';
import { SchedulerError } from '../shared/errors.ts';
import type { ConnectionLog } from '../shared/run/redis.ts';
import { awaitOutcomes, type CallKind, type CallParts, enqueue, readOutcomes, type Waiting } from './client-calls.ts';
import {
  type AllocateOptions,
  checkJoin,
  checkRelease,
  checkRequest,
  checkReservation,
  isNewAllocate,
  type JoinOptions,
  problemsOf,
  type ReleaseOptions,
  type ReserveOptions,
} from './client-checks.ts';
import { ClientConnection } from './client-connection.ts';
import {
  type AllocateResult,
  type CancelResult,
  type ExtendResult,
  isAllocateOutcome,
  isCancelOutcome,
  isExtendOutcome,
  isJoinOutcome,
  isReleaseOutcome,
  isReserveOutcome,
  type JoinResult,
  type ReleaseResult,
  type RequestStatus,
  type ReserveResult,
} from './client-results.ts';
import type { AllocateOutcome, NewAllocate } from './jobs/allocate.ts';
import type { CancelOutcome } from './jobs/cancel.ts';
import { type ExtendOutcome, extendPayload } from './jobs/extend.ts';
import type { JoinOutcome } from './jobs/join.ts';
import type { ReleaseOutcome } from './jobs/release.ts';
import type { ReserveJobOutcome } from './jobs/reserve.ts';
import { QUEUES } from './names.ts';
import { createProducer, type Producer } from './producer.ts';

export { type ErrorCode, SchedulerError } from '../shared/errors.ts';
export type { AllocateOptions, JoinOptions, ReleaseOptions, ReserveOptions } from './client-checks.ts';
export type {
  AllocateResult,
  CancelResult,
  ExtendResult,
  JoinResult,
  NotAccepted,
  ReleaseResult,
  RequestStatus,
  ReserveResult,
  StillPending,
} from './client-results.ts';
export type { AllocateOutcome, GrantedAllocation } from './jobs/allocate.ts';

export interface SchedulerClientOptions {
  /**
   * Where Redis is. With `clusterNodes` ("host:port") the URL gives credentials and TLS only; with `sentinels`, which say
   * where the primary of that name is, these and the number of the database.
   */
  readonly redis: {
    readonly url: string;
    readonly clusterNodes?: readonly string[];
    readonly sentinels?: { readonly nodes: readonly string[]; readonly name: string; readonly password?: string };
  };
  /** Name of the calling service; requests are its own and nobody else's. */
  readonly service: string;
  /** The scheduler's QUEUE_PREFIX. */
  readonly prefix?: string;
  /** Waiting requests above which new ones are refused with OVERLOADED. */
  readonly maxWaitingJobs?: number;
  /** Hears when Redis goes and comes; silent if left out. A pino logger fits. */
  readonly logger?: ConnectionLog;
}

export interface WaitOptions {
  /** Longest wait for the outcome, ms (5 000). The request lives on after it. */
  readonly timeoutMs?: number;
  /** Ends the waiting, not the request: use `cancel` for that. */
  readonly signal?: AbortSignal;
}

/** How much longer an allocation is needed. With `userId` it must be that user's. */
export interface ExtendOptions {
  readonly allocationId: string;
  /** 1 to what the tier of the allocation allows at once. */
  readonly additionalMinutes: number;
  readonly userId?: string;
  readonly fence?: number;
  readonly reason?: string;
  /** Your own UUID makes repeating the call, also after a crash, harmless. */
  readonly extendId?: string;
}

const DEFAULT_PREFIX = '{scheduler}';
const DEFAULT_MAX_WAITING = 200_000;
const DEFAULT_TIMEOUT_MS = 5_000;
/** Requests of which the words are remembered, to be said again should Redis lose them. */
const REMEMBERED = 10_000;

const ALLOCATE_CALL: CallKind<AllocateOutcome> = {
  queue: QUEUES.allocate,
  isOutcome: isAllocateOutcome,
  isFinal: () => true,
};
/** Waiting for a device goes on until there is one, whichever way it began. */
const WAIT_FOR_CALL: CallKind<AllocateOutcome> = { ...ALLOCATE_CALL, isFinal: ({ status }) => status !== 'waiting' };
const WAIT_IN_QUEUE_CALL: CallKind<AllocateOutcome> = { ...WAIT_FOR_CALL, queue: QUEUES.join };
const JOIN_CALL: CallKind<JoinOutcome> = { queue: QUEUES.join, isOutcome: isJoinOutcome, isFinal: () => true };
const RELEASE_CALL: CallKind<ReleaseOutcome> = { queue: QUEUES.release, isOutcome: isReleaseOutcome, isFinal: () => true };
const EXTEND_CALL: CallKind<ExtendOutcome> = { queue: QUEUES.extend, isOutcome: isExtendOutcome, isFinal: () => true };
const RESERVE_CALL: CallKind<ReserveJobOutcome> = { queue: QUEUES.reserve, isOutcome: isReserveOutcome, isFinal: () => true };
const CANCEL_CALL: CallKind<CancelOutcome> = { queue: QUEUES.release, isOutcome: isCancelOutcome, isFinal: () => true };

const SILENT: ConnectionLog = { warn: () => undefined, info: () => undefined };

/**
 * Asks the scheduler for devices over Redis, from any Node service.
 *
 * A "no" is a result (`status: 'refused'` with a code), not an exception; what is thrown is a `SchedulerError`
 * QUEUE_UNAVAILABLE when Redis could not be reached in time. Repeating a call with the same `requestId` never allocates
 * twice. Every method may be called at once; the connection opens by itself.
 */
export class SchedulerClient {
  readonly #caller: string;
  readonly #connection: ClientConnection;
  readonly #producer: Producer;
  readonly #asked = new Map<string, NewAllocate>();

  constructor({ redis, service, prefix = DEFAULT_PREFIX, maxWaitingJobs = DEFAULT_MAX_WAITING, logger = SILENT }: SchedulerClientOptions) {
    this.#caller = `service:${service}`;
    const { url, clusterNodes = [], sentinels } = redis;
    const address = { url, clusterNodes, sentinels: sentinels && { password: '', ...sentinels } };
    this.#connection = new ClientConnection(address, prefix, logger);
    this.#producer = createProducer({ redis: this.#connection.redis, prefix, maxWaitingJobs, logger });
  }

  /** Asks for a device for a user and waits for the answer. */
  async allocate(userId: string, options: AllocateOptions = {}, wait: WaitOptions = {}): Promise<AllocateResult> {
    const requestId = options.requestId ?? randomUUID();
    const [result] = await this.allocateMany([{ ...options, userId, requestId }], wait);
    return result ?? { status: 'pending', requestId };
  }

  /** Asks for many at once, in one round trip or two; answers in the order asked. */
  async allocateMany(
    requests: readonly (AllocateOptions & { readonly userId: string })[],
    wait: WaitOptions = {},
  ): Promise<AllocateResult[]> {
    const checked = requests.map((request) => checkRequest(request, this.#caller, this.#connection.instance));
    const valid = checked.filter(isNewAllocate);
    const results = valid.length === 0 ? new Map<string, AllocateResult>() : await this.#ask(valid, wait);
    return checked.map((request) =>
      'status' in request ? request : (results.get(request.requestId) ?? { status: 'pending', requestId: request.requestId }),
    );
  }

  /**
   * Ends an allocation. Repeating it gives the same answer if it names the allocation, or with the same `releaseId`. A release that
   * names a device only is otherwise a new one, and ends what the device was granted to meanwhile; a `fence` prevents that too.
   */
  async release(allocation: ReleaseOptions, wait: WaitOptions = {}): Promise<ReleaseResult> {
    const releaseId = allocation.releaseId ?? randomUUID();
    const checked = checkRelease({ ...allocation, releaseId }, this.#caller, this.#connection.instance);
    if ('status' in checked) return checked;
    const outcome = await this.#call(
      RELEASE_CALL,
      { id: releaseId, own: allocation.releaseId !== undefined },
      () => this.#producer.release(checked),
      wait,
    );
    return outcome ?? { status: 'pending', releaseId };
  }

  /** Gives an allocation more time. Its tier, reservations of its device and the balance may refuse it. */
  async extend(allocation: ExtendOptions, wait: WaitOptions = {}): Promise<ExtendResult> {
    const { userId, allocationId, extendId = randomUUID(), ...asked } = allocation;
    const parsed = extendPayload.safeParse({
      ...asked,
      extendId,
      caller: this.#caller,
      reach: userId === undefined ? { kind: 'all' } : { kind: 'user', userId },
      allocationIds: [allocationId],
      replyTo: this.#connection.instance,
    });
    if (!parsed.success) {
      const problems = problemsOf(parsed.error);
      return { status: 'refused', code: 'VALIDATION_FAILED', reason: problems.join('; '), details: { problems } };
    }
    const outcome = await this.#call(
      EXTEND_CALL,
      { id: extendId, own: allocation.extendId !== undefined },
      () => this.#producer.extend(parsed.data),
      wait,
    );
    return outcome?.items[0] ?? { status: 'pending', extendId };
  }

  /**
   * Reserves a device for a time to come, or with `recurrence` a series. Repeating it with the same `reservationId` finds what
   * was booked. Reading, changing and cancelling go over HTTP.
   */
  async reserve(userId: string, options: ReserveOptions, wait: WaitOptions = {}): Promise<ReserveResult> {
    const reservationId = options.reservationId ?? randomUUID();
    const checked = checkReservation({ ...options, userId, reservationId }, this.#caller, this.#connection.instance);
    if ('status' in checked) return checked;
    const outcome = await this.#call(
      RESERVE_CALL,
      { id: reservationId, own: options.reservationId !== undefined },
      () => this.#producer.reserve(checked),
      wait,
    );
    return outcome ?? { status: 'pending', reservationId };
  }

  /**
   * Puts a user into the waiting queue; a user has one entry at a time. The entry is a request: `waitFor`, `status` and `cancel`
   * take its `requestId`. Repeating it with the same `requestId` tells how the entry stands.
   */
  async joinQueue(userId: string, options: JoinOptions = {}, wait: WaitOptions = {}): Promise<JoinResult> {
    const requestId = options.requestId ?? randomUUID();
    const checked = checkJoin({ ...options, userId, requestId }, this.#caller, this.#connection.instance);
    if ('status' in checked) return checked;
    const outcome = await this.#call(
      JOIN_CALL,
      { id: requestId, own: options.requestId !== undefined },
      () => this.#producer.join(checked),
      wait,
    );
    return outcome ?? { status: 'pending', requestId };
  }

  /** Withdraws a request that is not decided yet; `REQUEST_DECIDED` when it is too late. */
  async cancel(requestId: string, wait: WaitOptions = {}): Promise<CancelResult> {
    const cancelId = randomUUID();
    const add = () => this.#producer.cancel({ cancelId, requestId, caller: this.#caller, replyTo: this.#connection.instance });
    const outcome = await this.#call(CANCEL_CALL, { id: cancelId, own: false }, add, wait);
    return outcome ?? { status: 'pending', requestId };
  }

  /** What Redis knows of a request. Outcomes are kept there for ten minutes at most. */
  async status(requestId: string): Promise<RequestStatus> {
    const parts = await this.#connection.parts(performance.now() + DEFAULT_TIMEOUT_MS);
    const { seen } = await this.#find(parts, requestId);
    if (seen?.kind === 'outcome') return seen.outcome;
    return { status: seen?.kind === 'under-way' ? 'pending' : 'unknown', requestId };
  }

  /**
   * Waits until a request has a device, a refusal, or another last word; `waiting` and `pending` are returned only when
   * time is up. A request of this client that Redis has lost is handed in again.
   */
  async waitFor(requestId: string, wait: WaitOptions = {}): Promise<RequestStatus> {
    const waiting = toWaiting(wait);
    const parts = await this.#connection.parts(waiting.until);
    const { kind, seen } = await this.#find(parts, requestId);
    if (seen?.kind === 'outcome' && kind.isFinal(seen.outcome)) return seen.outcome;
    if (seen?.kind === 'missing' && !this.#asked.has(requestId)) return { status: 'unknown', requestId };
    const again = { begin: () => Promise.resolve(), addAgain: (ids: readonly string[]) => this.#askAgain(ids) };
    const outcomes = await awaitOutcomes(parts, kind, [requestId], waiting, again);
    return outcomes.get(requestId) ?? (seen?.kind === 'outcome' ? seen.outcome : { status: 'pending', requestId });
  }

  /** Lets go of Redis. Requests live on. */
  async close(): Promise<void> {
    await this.#producer.close();
    this.#connection.close();
  }

  async #ask(requests: readonly NewAllocate[], wait: WaitOptions): Promise<Map<string, AllocateResult>> {
    const waiting = toWaiting(wait);
    const parts = await this.#connection.parts(waiting.until);
    for (const request of requests) this.#remember(request);
    try {
      const steps = {
        begin: () => enqueue(() => this.#producer.allocate(requests), waiting),
        addAgain: (ids: readonly string[]) => this.#askAgain(ids),
      };
      return await awaitOutcomes(
        parts,
        ALLOCATE_CALL,
        requests.map(({ requestId }) => requestId),
        waiting,
        steps,
      );
    } catch (error) {
      if (!(error instanceof SchedulerError) || error.code !== 'OVERLOADED') throw error;
      const refusal = {
        status: 'refused',
        code: 'OVERLOADED',
        reason: error.message,
        ...(error.details && { details: error.details }),
      } as const;
      return new Map(requests.map(({ requestId }) => [requestId, { ...refusal, requestId }]));
    }
  }

  async #askAgain(ids: readonly string[]): Promise<void> {
    await this.#producer.allocate(ids.flatMap((id) => this.#asked.get(id) ?? []));
  }

  #remember(request: NewAllocate): void {
    const oldest = this.#asked.keys().next();
    if (this.#asked.size >= REMEMBERED && oldest.done !== true) this.#asked.delete(oldest.value);
    this.#asked.set(request.requestId, request);
  }

  /** @param own  whether the caller chose the id: then it may be that of a job that has failed for good, which is asked for anew */
  async #call<Outcome>(
    kind: CallKind<Outcome>,
    { id, own }: { readonly id: string; readonly own: boolean },
    add: () => Promise<void>,
    wait: WaitOptions,
  ): Promise<Outcome | undefined> {
    const waiting = toWaiting(wait);
    const parts = await this.#connection.parts(waiting.until);
    const begin = async () => {
      if (own) await this.#producer.forgetFailed(kind.queue, id);
      await add();
    };
    const outcomes = await awaitOutcomes(parts, kind, [id], waiting, { begin: () => enqueue(begin, waiting), addAgain: add });
    return outcomes.get(id);
  }

  /** A request is known to the queue it came by. */
  async #find(parts: CallParts, requestId: string) {
    const asked = (await this.#reading(() => readOutcomes(parts, WAIT_FOR_CALL, [requestId]))).get(requestId);
    if (asked?.kind !== 'missing') return { kind: WAIT_FOR_CALL, seen: asked };
    const joined = (await this.#reading(() => readOutcomes(parts, WAIT_IN_QUEUE_CALL, [requestId]))).get(requestId);
    return joined?.kind === 'missing' ? { kind: WAIT_FOR_CALL, seen: asked } : { kind: WAIT_IN_QUEUE_CALL, seen: joined };
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      throw new SchedulerError('QUEUE_UNAVAILABLE', { cause: error, retryAfter: 1 });
    }
  }
}

function toWaiting({ timeoutMs = DEFAULT_TIMEOUT_MS, signal }: WaitOptions): Waiting {
  return { until: performance.now() + timeoutMs, signal };
}
