import { setTimeout as pause } from 'node:timers/promises';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import { createGate } from '../../shared/clients/gate.ts';
import { traceNow } from '../../shared/spans.ts';
import { endAllocations } from '../../shared/store/end-allocations.ts';
import { answerEvent, liveAllocationOn } from '../../shared/store/event-effects.ts';
import { insertRequest, type NewRequest, type RequestState, readRequest } from '../../shared/store/requests.ts';
import { requestIdOf } from './change-device.ts';
import { type Consumed, type EventParts, type EventResult, once } from './event-parts.ts';

/** How long one attempt waits for the decision, and how often it looks, ms. The next attempt goes on waiting. */
const DECISION = { longestMs: 2_000, everyMs: 50 };

/** Orders of this process that wait in their slots, half of those there are: while nothing is decided, other events need the rest. */
const waiting = createGate(5);

/** Neither a failure of the order nor an outage: its next attempt, after a pause in which it holds no slot, looks again. */
export class OrderUndecided extends Error {
  constructor(requestId: string) {
    super(`request ${requestId} is not decided yet`);
    this.name = 'OrderUndecided';
  }
}

/**
 * A device for an order: asked for like by anybody else, and answered once, when it is decided, to `device.allocate.<sagaId>`.
 * The answer and the note that the event was taken are one transaction; before that everything may be done again.
 */
export async function allocateOrder(
  parts: EventParts,
  { event, action }: Consumed<'allocate-order'>,
  signal: AbortSignal,
): Promise<EventResult> {
  const request = requestOf(action);
  const inserted = await insertRequest(parts.store, request);
  if (inserted !== undefined) await parts.producer.allocateAgain([{ ...request, ...inserted, createdAt: new Date() }]);
  const decided = await decisionOf(parts, request.requestId, signal);
  const { sagaId, orderId, userId } = action;
  const grant = decided.status === 'granted' ? decided.grant : null;
  const outcome =
    grant === null ? { success: false, error: decided.code ?? decided.status } : { success: true, allocationId: grant.allocationId };
  return once(parts, event, async (tx) => {
    const answer = { sagaId, deviceId: grant?.deviceId ?? null, orderId, userId, ...outcome };
    await answerEvent(tx, `device.allocate.${sagaId}`, request.requestId, answer);
    return { freed: undefined, detail: { granted: grant !== null } };
  });
}

/** One a saga, however often and under whichever ids it is sent. */
function requestOf({ sagaId, orderId, userId, durationMinutes }: Consumed<'allocate-order'>['action']): NewRequest {
  const asked = askedAllocation.parse(durationMinutes === undefined ? {} : { durationMinutes });
  const requestId = requestIdOf(`order:${JSON.stringify([sagaId, orderId, userId])}`);
  const traceId = traceNow({ requestId: undefined, traceId: undefined }) || undefined;
  return { requestId, caller: 'service:orders', source: 'event', userId, tenantId: undefined, tier: 'standard', asked, traceId };
}

/** @throws OrderUndecided when it takes too long, or too many are waited for already */
async function decisionOf(parts: EventParts, requestId: string, signal: AbortSignal): Promise<RequestState> {
  const decided = await readDecided(parts, requestId);
  if (decided !== undefined) return decided;
  if (!(await waiting.enter(0))) throw new OrderUndecided(requestId);
  try {
    return await awaitDecision(parts, requestId, signal);
  } finally {
    waiting.leave();
  }
}

async function awaitDecision(parts: EventParts, requestId: string, signal: AbortSignal): Promise<RequestState> {
  const until = performance.now() + DECISION.longestMs;
  while (performance.now() < until) {
    await pause(DECISION.everyMs, undefined, { signal });
    const decided = await readDecided(parts, requestId);
    if (decided !== undefined) return decided;
  }
  throw new OrderUndecided(requestId);
}

async function readDecided({ store }: EventParts, requestId: string): Promise<RequestState | undefined> {
  const state = await readRequest(store, requestId, { kind: 'all' });
  return state === undefined || state.status === 'pending' || state.status === 'waiting' ? undefined : state;
}

/** An order gives its device back. One that is not held by this user (any more) is left alone. */
export function releaseOrder(parts: EventParts, { event, action }: Consumed<'release-order'>): Promise<EventResult> {
  return once(parts, event, async (tx) => {
    const allocationId = await liveAllocationOn(tx, action.deviceId, action.userId);
    const ends = allocationId === undefined ? [] : [{ allocationId, reason: 'order_released' as const }];
    const ended = await endAllocations(tx, ends, parts.ending);
    const freed = { devices: ended.map(({ deviceId }) => deviceId), allocations: ended.map((row) => row.allocationId) };
    return { freed, detail: { ended: ended.length } };
  });
}
