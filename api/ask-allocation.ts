import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { NewAllocate } from '../queues/jobs/allocate.ts';
import type { AllocationRequest } from '../shared/allocation/facts.ts';
import { SchedulerError } from '../shared/errors.ts';
import type { Logger } from '../shared/logger.ts';
import { forgetRequest, insertRequest, type NewRequest, type RequestState, readRequest } from '../shared/store/requests.ts';
import type { ServerDeps } from './deps.ts';
import type { HeldKey } from './idempotency.ts';

/** How often the row is looked at in case the message about it got lost. */
const LOOK_AGAIN_MS = 1_000;
const BACKLOG_KEPT_MS = 250;

/**
 * Asks for a device and waits a while for the answer.
 *
 * The request is a row before it is a job: if the job cannot be handed over, or is lost, the reconciler hands it over
 * again. The message that it is decided only wakes us; what is answered is read from the row.
 *
 * @param waitMs  longest wait; 0 returns the pending request at once
 * @throws SchedulerError OVERLOADED, STORE_UNAVAILABLE
 */
export async function askAllocation(deps: ServerDeps, request: NewRequest, waitMs: number, logger: Logger): Promise<RequestState> {
  const told = deps.outcomes.wait(request.requestId, waitMs);
  // Its place in the queue is found meanwhile.
  const written = insertRequest(deps.store, request);
  const known = request.tenantId === undefined ? await tenantWritten(deps, request.requestId, written) : request.tenantId;
  const handedOver = await handOver(deps, { ...request, tenantId: known }, written, logger);
  return waitForDecision(deps, request.requestId, handedOver ? told : undefined, Date.now() + (handedOver ? waitMs : 0));
}

/**
 * The id of a request. Under an Idempotency-Key it follows from caller, key and the life of the key, so that a take-over
 * after a crash asks for the same thing, and asking again after a fault of ours asks anew.
 */
export function requestIdFor(held: HeldKey | undefined): string {
  if (held === undefined) return randomUUID();
  return idFrom(`${held.call.caller}\n${held.call.key}\n${held.since.getTime()}`);
}

/** An id that follows from a text. Version 8: a UUID whose bits mean what its maker says (RFC 9562). */
export function idFrom(text: string): string {
  const digest = createHash('sha256').update(text).digest('hex');
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-a${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
}

/**
 * Makes the check that keeps the backlog bounded; the queue is asked at most four times a second. It throws OVERLOADED,
 * before anything is written.
 */
export function createBacklogGuard(deps: ServerDeps): () => Promise<void> {
  let last: { at: number; waiting: Promise<number> } | undefined;
  return async () => {
    deps.producer.assertMemory();
    if (last === undefined || Date.now() - last.at > BACKLOG_KEPT_MS) last = { at: Date.now(), waiting: waitingJobs(deps) };
    if ((await last.waiting) >= deps.options.maxWaitingJobs) throw new SchedulerError('OVERLOADED', { retryAfter: 5 });
  };
}

/** A queue that cannot be asked does not refuse anybody: the row is kept, the job follows later. */
async function waitingJobs({ producer, logger }: ServerDeps): Promise<number> {
  try {
    return await producer.waiting();
  } catch (error) {
    logger.warn({ err: error }, 'the backlog cannot be read');
    return 0;
  }
}

/** The tenant the row got, whose turn it takes: nothing can be handed over before it is known. */
async function tenantWritten({ store }: ServerDeps, requestId: string, written: ReturnType<typeof insertRequest>): Promise<string | null> {
  const row = (await written) ?? (await readRequest(store, requestId, { kind: 'all' }));
  return row?.tenantId ?? null;
}

/**
 * @param written  resolves when the row is there, with nothing if it was there before
 * @returns whether it is a job now; if not, the reconciler will make it one
 * @throws SchedulerError OVERLOADED when the queue takes nothing; the row is gone then, unless an earlier call had brought it
 */
async function handOver(
  deps: ServerDeps,
  request: AllocationRequest,
  written: ReturnType<typeof insertRequest>,
  logger: Logger,
): Promise<boolean> {
  const { traceId, ...rest } = request;
  const job: NewAllocate = { ...rest, ...(traceId === undefined ? {} : { traceId }), replyTo: deps.instance, acceptedAt: Date.now() };
  try {
    await deps.producer.allocate([job], written);
    return true;
  } catch (error) {
    const isNew = (await written) !== undefined;
    const refused = error instanceof SchedulerError && error.code === 'OVERLOADED';
    if (refused && isNew && (await forgetRequest(deps.store, request.requestId))) throw error;
    logger.warn({ err: error, requestId: request.requestId }, 'the request could not be handed to the queue; the reconciler will');
    return false;
  }
}

async function waitForDecision(
  deps: ServerDeps,
  requestId: string,
  told: Promise<unknown> | undefined,
  until: number,
): Promise<RequestState> {
  for (;;) {
    const left = until - Date.now();
    if (told !== undefined && left > 0) await Promise.race([told, pause(Math.min(left, LOOK_AGAIN_MS), undefined, { ref: false })]);
    const state = await readRequest(deps.store, requestId, { kind: 'all' });
    if (state === undefined) throw new Error(`request ${requestId} was written and is gone`);
    if (state.status !== 'pending' || Date.now() >= until) return state;
  }
}
