import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { ReleaseOutcome, ReleasePayload } from '../../queues/jobs/release.ts';
import { SchedulerError } from '../../shared/errors.ts';
import { readAllocation, readHolder } from '../../shared/store/allocation-history.ts';
import { type Caller, reachOf } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { sendError, success, successOf } from '../envelope.ts';
import { traceIdOf } from '../request-context.ts';
import { type Api, errorAnswers, noQuery } from '../route-schema.ts';

const WAIT_MS = 5_000;

const body = z
  .strictObject({
    deviceId: z.guid().optional(),
    allocationId: z.guid().optional(),
    fence: z.int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
    reason: z.string().min(1).max(500).optional(),
  })
  .refine(({ deviceId, allocationId }) => deviceId !== undefined || allocationId !== undefined, {
    message: 'deviceId or allocationId is needed',
    path: ['allocationId'],
  });

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
        querystring: noQuery,
        body,
        response: { 200: successOf(answer), ...errorAnswers(404, 409, 422) },
      },
    },
    async (request, reply) => {
      const { caller } = request;
      const payload: ReleasePayload = {
        releaseId: randomUUID(),
        caller: caller.key,
        userId: caller.role === 'user' ? caller.id : null,
        tenantId: null,
        ...(await named(deps, caller, request.body)),
        ...(request.body.fence === undefined ? {} : { fence: request.body.fence }),
        ...(request.body.reason === undefined ? {} : { reason: request.body.reason }),
        replyTo: deps.instance,
        traceId: traceIdOf(request.headers, request.id),
      };
      const outcome = await askRelease(deps, payload);
      if (outcome.status === 'released') return success(request, outcome);
      return sendError(request, reply, new SchedulerError(outcome.code, outcome.details === undefined ? {} : { details: outcome.details }));
    },
  );
}

type Named = Pick<ReleasePayload, 'endReason' | 'allocationId' | 'deviceId'>;

/**
 * Which allocation is meant, and why it will have ended. An admin's reach is checked here, where the token is known:
 * what lies outside does not exist for them.
 */
async function named({ store }: ServerDeps, caller: Caller, said: z.output<typeof body>): Promise<Named> {
  const target = said.allocationId === undefined ? { deviceId: said.deviceId ?? '' } : { allocationId: said.allocationId };
  if (caller.role === 'user' || caller.role === 'service') return { endReason: 'released', ...target };
  const reach = reachOf(caller);
  const found =
    said.allocationId === undefined
      ? await readHolder(store, said.deviceId ?? '', reach)
      : await readAllocation(store, said.allocationId, reach);
  if (found === undefined) throw new SchedulerError('ALLOCATION_NOT_FOUND');
  return { endReason: found.userId === caller.id ? 'released' : 'admin_released', allocationId: found.allocationId };
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
