import { z } from 'zod';
import { type ExtendedItem, type ExtendPayload, MAX_ADDITIONAL_MINUTES, MAX_EXTENDS } from '../../queues/jobs/extend.ts';
import { isWithinReach } from '../../shared/allocation/reach.ts';
import { ERRORS, SchedulerError } from '../../shared/errors.ts';
import { decideExtend, type ExtendFacts, extendableFrom, remainingExtends } from '../../shared/renewal/decide-extend.ts';
import { lookAtExtensions } from '../../shared/store/extend-facts.ts';
import { readExtendHistory } from '../../shared/store/extend-history.ts';
import { requestIdFor } from '../ask-allocation.ts';
import { askExtend } from '../ask-extend.ts';
import { reachOf } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { sendError, success, successOf } from '../envelope.ts';
import { traceIdOf } from '../request-context.ts';
import { type Api, errorAnswers, idParams, noQuery } from '../route-schema.ts';

const instant = z.string().describe('ISO 8601, UTC');
const additionalMinutes = z.int().min(1).max(MAX_ADDITIONAL_MINUTES).describe('At most what the tier of the allocation allows at once');
const HISTORY = 100;

const extension = {
  oldExpiresAt: instant,
  newExpiresAt: instant,
  additionalMinutes: z.int(),
  extendCount: z.int(),
  remainingExtends: z.int().describe('-1: no limit'),
  totalDurationMinutes: z.int().describe('From start to the new end'),
};

const infoAnswer = z.object({
  canExtend: z.boolean().describe('By a minute or more, as far as we know; the balance is looked at when extending'),
  cannotExtendReason: z.string().optional().describe('A code of the catalogue'),
  remainingExtends: z.int().describe('-1: no limit'),
  maxTotalMinutes: z.int().describe('-1: no limit'),
  nextExtendAvailableAt: instant.optional(),
  extendHistory: z
    .array(
      z.object({
        additionalMinutes: z.int(),
        oldExpiresAt: instant,
        newExpiresAt: instant,
        automatic: z.boolean(),
        reason: z.string().nullable(),
        extendedAt: instant,
        extendedBy: z.string(),
      }),
    )
    .describe(`Oldest first; the last ${HISTORY}`),
});

const batchAnswer = z.object({
  successCount: z.int(),
  failedCount: z.int(),
  totalCount: z.int(),
  successes: z.array(z.object({ allocationId: z.string(), ...extension })),
  failures: z.array(
    z.object({ allocationId: z.string(), code: z.string(), reason: z.string(), details: z.record(z.string(), z.unknown()).optional() }),
  ),
  executionTimeMs: z.int(),
});

/** More time for an allocation: extending one, extending many, and whether it can be. */
export function extendRoutes(api: Api, deps: ServerDeps): void {
  extendOne(api, deps);
  extendMany(api, deps);
  extendInfo(api, deps);
}

function extendOne(api: Api, deps: ServerDeps): void {
  api.put(
    '/scheduler/allocations/:id/extend',
    {
      config: { access: 'caller', budget: 'write' },
      schema: {
        tags: ['Renewal'],
        summary: 'Extend an allocation',
        description: 'Within the limits of the tier the allocation was made in.',
        params: idParams,
        querystring: noQuery,
        body: z.strictObject({
          additionalMinutes,
          fence: z.int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
          reason: z.string().min(1).max(500).optional(),
        }),
        response: { 200: successOf(z.object(extension)), ...errorAnswers(402, 404, 409, 422) },
      },
    },
    async (request, reply) => {
      const [item] = await askExtend(deps, {
        extendId: requestIdFor(request.heldKey),
        caller: request.caller.key,
        reach: reachOf(request.caller),
        allocationIds: [request.params.id],
        ...saidIn(request.body),
        replyTo: deps.instance,
        traceId: traceIdOf(request.headers, request.id),
      });
      if (item === undefined) throw new Error('an extension of one allocation was answered without it');
      if (item.status === 'refused') return sendError(request, reply, refusalOf(item));
      return success(request, item);
    },
  );
}

function extendMany(api: Api, deps: ServerDeps): void {
  api.post(
    '/scheduler/allocations/batch/extend',
    {
      config: { access: 'caller', budget: 'batch' },
      schema: {
        tags: ['Renewal'],
        summary: 'Extend many allocations',
        description: 'Each within its own limits; the answer says what became of each.',
        querystring: noQuery,
        body: z.strictObject({ allocationIds: z.array(z.guid().toLowerCase()).min(1).max(MAX_EXTENDS), additionalMinutes }),
        response: { 200: successOf(batchAnswer), ...errorAnswers(422) },
      },
    },
    async (request) => {
      const began = performance.now();
      const items = await askExtend(deps, {
        extendId: requestIdFor(request.heldKey),
        caller: request.caller.key,
        reach: reachOf(request.caller),
        allocationIds: request.body.allocationIds,
        ...saidIn(request.body),
        replyTo: deps.instance,
        traceId: traceIdOf(request.headers, request.id),
      });
      return success(request, viewBatch(items, performance.now() - began));
    },
  );
}

function extendInfo(api: Api, deps: ServerDeps): void {
  api.get(
    '/scheduler/allocations/:id/extend-info',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Renewal'],
        summary: 'Whether and how far an allocation can be extended',
        params: idParams,
        querystring: noQuery,
        response: { 200: successOf(infoAnswer), ...errorAnswers(404) },
      },
    },
    async (request) => {
      const allocationId = request.params.id;
      const [{ allocations, now }, history] = await Promise.all([
        lookAtExtensions(deps.store, [{ allocationId, extensionId: null }]),
        readExtendHistory(deps.store, allocationId, HISTORY),
      ]);
      const facts = allocations.get(allocationId);
      if (facts === undefined || !isWithinReach(reachOf(request.caller), facts)) throw new SchedulerError('ALLOCATION_NOT_FOUND');
      const extendHistory = history.map((past) => ({
        ...past,
        oldExpiresAt: past.oldExpiresAt.toISOString(),
        newExpiresAt: past.newExpiresAt.toISOString(),
        extendedAt: past.extendedAt.toISOString(),
      }));
      return success(request, { ...viewInfo(deps, facts, now), extendHistory });
    },
  );
}

/** A body without what was left out. */
function saidIn(body: {
  additionalMinutes: number;
  fence?: number | undefined;
  reason?: string | undefined;
}): Pick<ExtendPayload, 'additionalMinutes' | 'fence' | 'reason'> {
  const { additionalMinutes, fence, reason } = body;
  return { additionalMinutes, ...(fence === undefined ? {} : { fence }), ...(reason === undefined ? {} : { reason }) };
}

function viewInfo({ options: { renewal } }: ServerDeps, facts: ExtendFacts, now: Date) {
  const policy = renewal.policies[facts.tier];
  const decision = decideExtend({ reach: { kind: 'all' }, additionalMinutes: 1, fence: undefined }, facts, undefined, renewal, now);
  const code = decision.kind === 'refused' ? decision.refusal.code : undefined;
  const from = extendableFrom(facts, policy);
  const comes = (code === 'EXTEND_COOLDOWN' || code === 'EXTEND_TOO_EARLY') && from < facts.expiresAt;
  return {
    canExtend: code === undefined,
    ...(code === undefined ? {} : { cannotExtendReason: code }),
    remainingExtends: remainingExtends(policy, facts.extendCount),
    maxTotalMinutes: policy.maxTotalMinutes === Infinity ? -1 : policy.maxTotalMinutes,
    ...(comes ? { nextExtendAvailableAt: from.toISOString() } : {}),
  };
}

function viewBatch(items: readonly ExtendedItem[], elapsedMs: number): z.output<typeof batchAnswer> {
  const successes = items.flatMap((item) => (item.status === 'extended' ? [item] : []));
  const failures = items.flatMap((item) =>
    item.status === 'refused' ? [{ ...item, ...(item.details === undefined ? {} : { details: { ...item.details } }) }] : [],
  );
  return {
    successCount: successes.length,
    failedCount: failures.length,
    totalCount: items.length,
    successes,
    failures,
    executionTimeMs: Math.round(elapsedMs),
  };
}

/** An extension of an allocation that is over meets a state (409); elsewhere the same code says that a resource is gone (410). */
function refusalOf({ code, reason, details }: Extract<ExtendedItem, { status: 'refused' }>): SchedulerError {
  const wait = details?.['retryAfterSeconds'];
  return new SchedulerError(code, {
    messages: [ERRORS[code].message, reason],
    ...(details === undefined ? {} : { details }),
    ...(typeof wait === 'number' ? { retryAfter: wait } : {}),
    ...(code === 'ALLOCATION_ENDED' ? { status: 409 } : {}),
  });
}
