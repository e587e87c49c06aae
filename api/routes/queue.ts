import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { MatchOutcome } from '../../queues/jobs/match.ts';
import { partyId } from '../../shared/allocation/party-id.ts';
import { DEFAULT_TIER, TIER_WORDS, tierOf } from '../../shared/allocation/tier.ts';
import { SchedulerError } from '../../shared/errors.ts';
import { announce } from '../../shared/run/announce.ts';
import { announceEnded } from '../../shared/run/announce-ended.ts';
import { joinQueue, leaveQueue } from '../../shared/store/join-queue.ts';
import { readEnded } from '../../shared/store/outcomes.ts';
import { type QueueEntry, readEntry } from '../../shared/store/queue-entries.ts';
import { readWaitFacts, tellEstimate } from '../../shared/store/wait-facts.ts';
import { askedEntry, requestOfEntry } from '../../shared/waitlist/asked-entry.ts';
import { requestIdFor } from '../ask-allocation.ts';
import { assertMayActFor, type Caller, reachOf, tierFor } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { entryAnswer, positionAnswer, viewEntry, viewPosition } from '../queue-view.ts';
import { traceIdOf } from '../request-context.ts';
import { type Api, errorAnswers, idParams, noBody, noQuery, TENANT_RULE } from '../route-schema.ts';
import { tenantFor } from '../tenant-for.ts';

const joinBody = askedEntry.extend({
  userId: partyId.optional().describe('For admins and services; a user joins for themselves'),
  tenantId: partyId.optional().describe(TENANT_RULE),
  userTier: z.enum(TIER_WORDS).optional().describe('For services and admins'),
});

const cancelBody = z.strictObject({ reason: z.string().min(1).max(500).optional() }).nullish();

const processed = z.object({
  processedCount: z.int().describe('Entries whose turn it was'),
  fulfilled: z.array(z.object({ queueId: z.string(), allocationId: z.string(), deviceId: z.string() })),
});

/** Longest wait for a match that an operator asked for, ms. */
const MATCH_WAIT_MS = 10_000;

/** Joining and leaving the waiting queue, one entry, and the operator's push. */
export function queueRoutes(api: Api, deps: ServerDeps): void {
  const { store } = deps;
  const tellRelay = () => announce(deps.redis, deps.options.prefix, { availability: false, outbox: true, outcomes: [] }, deps.logger);

  api.post(
    '/scheduler/queue/join',
    {
      config: { access: 'caller', budget: 'write' },
      schema: {
        tags: ['Waiting queue'],
        summary: 'Wait for a device; a user has one entry at a time',
        querystring: noQuery,
        body: joinBody,
        response: { 201: successOf(entryAnswer), ...errorAnswers(402, 409, 422) },
      },
    },
    async (request, reply) => {
      const { caller } = request;
      const { userId = ownIdOf(caller), tenantId, userTier, ...entry } = request.body;
      assertMayActFor(caller, userId);
      const requestId = requestIdFor(request.heldKey);
      const joining = await joinQueue(store, {
        requestId,
        caller: caller.key,
        source: 'http',
        userId,
        tenantId: await tenantFor(store, caller, userId, tenantId),
        tier: caller.role === 'user' || userTier === undefined ? tierFor(caller, userId, userTier) : (tierOf(userTier) ?? DEFAULT_TIER),
        asked: requestOfEntry(entry),
        traceId: traceIdOf(request.headers, request.id),
      });
      if (joining.kind === 'refused')
        throw new SchedulerError(joining.refusal.code, { ...(joining.refusal.details && { details: joining.refusal.details }) });
      if (joining.kind === 'joined') await Promise.all([deps.capacity.changed({ requests: [requestId] }), tellRelay()]);
      const facts = await tellEstimate(store, requestId);
      const answer = viewEntry(await find(requestId, caller), facts);
      return reply.code(201).header('location', `/scheduler/queue/${requestId}`).send(success(request, answer));
    },
  );

  for (const url of ['/scheduler/queue/:id', '/scheduler/queue/:id/position'] as const) {
    const ofPosition = url.endsWith('position');
    api.get(
      url,
      {
        config: { access: 'caller', budget: 'read' },
        schema: {
          tags: ['Waiting queue'],
          summary: ofPosition ? 'The place of an entry, why it waits and when a device is expected' : 'One entry',
          params: idParams,
          querystring: noQuery,
          response: { 200: successOf(ofPosition ? positionAnswer : entryAnswer), ...errorAnswers(404, 409) },
        },
      },
      async (request) => {
        const entry = await find(request.params.id, request.caller);
        if (!ofPosition) return success(request, await view(entry));
        const facts = await readWaitFacts(store, entry.id);
        if (facts === undefined) throw new SchedulerError('REQUEST_DECIDED', { details: { status: viewEntry(entry).status } });
        return success(request, viewPosition(entry, facts));
      },
    );
  }

  api.post(
    '/scheduler/queue/:id/cancel',
    {
      config: { access: 'caller', budget: 'write' },
      schema: {
        tags: ['Waiting queue'],
        summary: 'Leave the queue',
        params: idParams,
        querystring: noQuery,
        body: cancelBody,
        response: { 200: successOf(entryAnswer), ...errorAnswers(404, 409, 422) },
      },
    },
    async (request) => {
      const { id } = request.params;
      const reason = request.body?.reason ?? null;
      const left = await leaveQueue(store, id, reachOf(request.caller), reason, traceIdOf(request.headers, request.id));
      const entry = await find(id, request.caller);
      if (!left) throw new SchedulerError('REQUEST_DECIDED', { details: { status: viewEntry(entry).status } });
      await announceEnded({ ...deps, prefix: deps.options.prefix }, await readEnded(store, [id]));
      return success(request, viewEntry(entry));
    },
  );

  for (const [url, body, summary] of [
    ['/scheduler/queue/process-next', noBody, 'Give a free device to the next who can use it, now'],
    [
      '/scheduler/queue/process-batch',
      z.strictObject({ maxCount: z.int().min(1).max(50) }),
      'Give free devices to the next who can use them, now',
    ],
  ] as const) {
    api.post(
      url,
      {
        config: { access: 'administrative', budget: 'batch' },
        schema: {
          tags: ['Waiting queue'],
          summary,
          querystring: noQuery,
          body,
          response: { 200: successOf(processed), ...errorAnswers(422) },
        },
      },
      async (request) => success(request, await process(request.body?.maxCount ?? 1)),
    );
  }

  /** Queueing goes on by itself; this is for an operator who does not want to wait for it, or wants to see what it does. */
  async function process(most: number): Promise<z.output<typeof processed>> {
    const matchId = randomUUID();
    const told = deps.outcomes.wait(matchId, MATCH_WAIT_MS);
    await deps.capacity.look({ matchId, to: deps.instance, most }).catch((error: unknown) => {
      throw new SchedulerError('QUEUE_UNAVAILABLE', { cause: error, retryAfter: 1 });
    });
    const outcome = (await told) as MatchOutcome | undefined;
    if (outcome === undefined)
      throw new SchedulerError('QUEUE_UNAVAILABLE', { messages: ['The waitlist did not answer in time.'], retryAfter: 1 });
    return { processedCount: outcome.processed, fulfilled: outcome.fulfilled.map((one) => ({ ...one })) };
  }

  async function find(id: string, caller: Caller): Promise<QueueEntry> {
    const entry = await readEntry(store, id, reachOf(caller));
    if (entry === undefined) throw new SchedulerError('QUEUE_ENTRY_NOT_FOUND');
    return entry;
  }

  async function view(entry: QueueEntry) {
    return viewEntry(entry, entry.state === 'waiting' ? await readWaitFacts(store, entry.id) : undefined);
  }
}

function ownIdOf(caller: Caller): string {
  if (caller.role !== 'service') return caller.id;
  throw new SchedulerError('VALIDATION_FAILED', { messages: ['userId is needed.'], details: { field: 'userId' } });
}
