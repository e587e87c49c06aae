import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { ReleaseOutcome, ReleasePayload } from '../../queues/jobs/release.ts';
import { decideRelease } from '../../shared/allocation/decide-release.ts';
import { partyId } from '../../shared/allocation/party-id.ts';
import { SchedulerError } from '../../shared/errors.ts';
import { readAllocation, readReleased } from '../../shared/store/allocation-history.ts';
import { requestIdFor } from '../ask-allocation.ts';
import { assertMayActFor, type Caller, reachOf } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { sendError, success, successOf } from '../envelope.ts';
import { traceIdOf } from '../request-context.ts';
import { type Api, errorAnswers, noQuery } from '../route-schema.ts';

const WAIT_MS = 5_000;

const body = z
  .strictObject({
    deviceId: z
      .guid()
      .toLowerCase()
      .optional()
      .describe('Means the newest allocation of this device that the caller may release, ended or not'),
    allocationId: z.guid().toLowerCase().optional().describe('Instead of `deviceId`'),
    fence: z
      .int()
      .min(1)
      .max(Number.MAX_SAFE_INTEGER)
      .optional()
      .describe('Of the allocation that is meant: with it, a late release cannot end the next one of the device'),
    userId: partyId.optional().describe('Whose allocation is meant; another than the own only from admins and services'),
    reason: z.string().min(1).max(500).optional(),
  })
  .refine(({ deviceId, allocationId }) => deviceId !== undefined || allocationId !== undefined, {
    message: 'deviceId or allocationId is needed',
    path: ['allocationId'],
  })
  .refine(({ deviceId, allocationId }) => deviceId === undefined || allocationId === undefined, {
    message: 'deviceId is not stated together with allocationId',
    path: ['deviceId'],
  });

const DESCRIPTION = `Either \`deviceId\` or \`allocationId\` is stated, not both. What has ended is answered as it was the first time.

An admin or a service that names a \`deviceId\` alone means whoever holds the device by then: sent again after the device was granted
anew, it ends the new allocation. Say which one is meant by \`allocationId\`, \`fence\` or \`userId\`, or send an \`Idempotency-Key\`.`;

const answer = z.object({ allocationId: z.string(), deviceId: z.string(), durationSeconds: z.int(), endReason: z.string() });

/** `POST /scheduler/devices/release`: gives a device back. */
export function releaseRoutes(api: Api, deps: ServerDeps): void {
  api.post(
    '/scheduler/devices/release',
    {
      config: { access: 'caller', budget: 'write' },
      schema: {
        tags: ['Allocations'],
        summary: 'Release a device',
        description: DESCRIPTION,
        querystring: noQuery,
        body,
        response: { 200: successOf(answer), ...errorAnswers(404, 409, 422) },
      },
    },
    async (request, reply) => {
      const { caller } = request;
      const said = request.body;
      if (said.userId !== undefined) assertMayActFor(caller, said.userId);
      // A call that is taken over from a process that died must find what that one released, whoever holds the device now.
      const releaseId = said.deviceId === undefined ? randomUUID() : requestIdFor(request.heldKey);
      const meant = await named(deps, caller, said, releaseId);
      if ('status' in meant) return success(request, meant);
      const payload: ReleasePayload = {
        releaseId,
        caller: caller.key,
        userId: caller.role === 'user' ? caller.id : (said.userId ?? null),
        tenantId: null,
        ...meant,
        ...(said.fence === undefined ? {} : { fence: said.fence }),
        ...(said.reason === undefined ? {} : { reason: said.reason }),
        replyTo: deps.instance,
        traceId: traceIdOf(request.headers, request.id),
      };
      const outcome = await askRelease(deps, payload);
      if (outcome.status === 'released') return success(request, outcome);
      return sendError(request, reply, new SchedulerError(outcome.code, outcome.details === undefined ? {} : { details: outcome.details }));
    },
  );
}

type Said = z.output<typeof body>;
type Named = Pick<ReleasePayload, 'endReason' | 'allocationId' | 'deviceId'>;
type Released = Extract<ReleaseOutcome, { status: 'released' }>;

/**
 * Which allocation is meant, and why it will have ended; or how it has ended already. An admin's reach is checked here, where the
 * token is known: what lies outside does not exist for them.
 */
async function named(deps: ServerDeps, caller: Caller, said: Said, releaseId: string): Promise<Named | Released> {
  if (said.deviceId !== undefined) return namedByDevice(deps, caller, said, said.deviceId, releaseId);
  const allocationId = said.allocationId ?? '';
  if (caller.role === 'user' || caller.role === 'service') return { endReason: 'released', allocationId };
  const found = await readAllocation(deps.store, allocationId, reachOf(caller));
  if (found === undefined) throw new SchedulerError('ALLOCATION_NOT_FOUND');
  return { endReason: endReasonOf(caller, found.userId), allocationId };
}

/**
 * Settles which allocation is meant before anything is enqueued: by the time the job runs, or runs again, the device may have gone
 * to somebody who was waiting for it.
 */
async function namedByDevice(
  { store }: ServerDeps,
  caller: Caller,
  { fence, userId: holder }: Said,
  deviceId: string,
  releaseId: string,
): Promise<Named | Released> {
  const facts = await readReleased(store, deviceId, releaseId, reachOf(caller), holder);
  const endReason = endReasonOf(caller, facts?.userId);
  const decision = decideRelease({ userId: null, tenantId: null, fence, endReason }, facts);
  if (facts === undefined) throw new SchedulerError('ALLOCATION_NOT_FOUND');
  if (decision.kind === 'refused')
    throw new SchedulerError(decision.code, decision.details === undefined ? {} : { details: decision.details });
  const { allocationId } = facts;
  if (decision.kind === 'end') return { endReason, allocationId, deviceId };
  return { status: 'released', allocationId, deviceId, durationSeconds: decision.durationSeconds, endReason: decision.endReason };
}

function endReasonOf(caller: Caller, holder: string | undefined): Named['endReason'] {
  return caller.role === 'user' || caller.role === 'service' || caller.id === holder ? 'released' : 'admin_released';
}

/** Hands the release over and waits for its outcome. The message may get lost, the end is a row: it is looked for then. */
async function askRelease({ outcomes, producer, store }: ServerDeps, payload: ReleasePayload): Promise<ReleaseOutcome> {
  const told = outcomes.wait(payload.releaseId, WAIT_MS);
  await producer.release(payload);
  const outcome = (await told) as ReleaseOutcome | undefined;
  if (outcome !== undefined) return outcome;
  const ended = payload.allocationId === undefined ? undefined : await readAllocation(store, payload.allocationId, { kind: 'all' });
  if (ended?.endReason == null || (payload.userId !== null && ended.userId !== payload.userId)) {
    throw new SchedulerError('QUEUE_UNAVAILABLE', {
      messages: ['The release was not carried out in time; it will be. Ask again.'],
      retryAfter: 1,
    });
  }
  return {
    status: 'released',
    allocationId: ended.allocationId,
    deviceId: ended.deviceId,
    durationSeconds: ended.durationSeconds,
    endReason: ended.endReason,
  };
}
