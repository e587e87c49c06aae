import { z } from 'zod';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import { partyId } from '../../shared/allocation/party-id.ts';
import { TIER_WORDS } from '../../shared/allocation/tier.ts';
import { tellEstimate } from '../../shared/store/wait-facts.ts';
import { askAllocation, createBacklogGuard, requestIdFor } from '../ask-allocation.ts';
import { assertMayActFor, type Caller, tierFor } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { sendError, success, successOf } from '../envelope.ts';
import { traceIdOf } from '../request-context.ts';
import { acceptedAnswer, allocationAnswer, refusalOf, viewGrant, viewPlace } from '../request-view.ts';
import { type Api, errorAnswers, noQuery, TENANT_RULE } from '../route-schema.ts';
import { bringsSomebody, tenantFor, tenantSaid } from '../tenant-for.ts';

const LONGEST_WAIT_MS = 30_000;
const DEFAULT_WAIT_MS = 5_000;

const body = z.strictObject({
  userId: partyId,
  tenantId: partyId.optional().describe(TENANT_RULE),
  userTier: z.enum(TIER_WORDS).optional().describe('Services only'),
  waitMs: z.int().min(0).max(LONGEST_WAIT_MS).default(DEFAULT_WAIT_MS).describe('Longest wait for the decision; 0 always answers 202'),
  ...askedAllocation.shape,
});

/** `POST /scheduler/devices/allocate`: one device for one user. */
export function allocateRoutes(api: Api, deps: ServerDeps): void {
  const assertRoom = createBacklogGuard(deps);
  api.post(
    '/scheduler/devices/allocate',
    {
      config: { access: 'caller', budget: 'write' },
      schema: {
        tags: ['Allocations'],
        summary: 'Allocate a device',
        querystring: noQuery,
        body,
        response: { 201: successOf(allocationAnswer), 202: successOf(acceptedAnswer), ...errorAnswers(402, 409, 422) },
      },
    },
    async (request, reply) => {
      const { userId, tenantId, userTier, waitMs, ...asked } = request.body;
      const { caller } = request;
      assertMayActFor(caller, userId);
      // Whose tenant is to be looked up has it looked up by the statement that writes the request; an admin’s user is asked about first.
      const tenant = bringsSomebody(caller, userId)
        ? await tenantFor(deps.store, caller, userId, tenantId)
        : tenantSaid(caller, userId, tenantId);
      const wanted = {
        requestId: requestIdFor(request.heldKey),
        caller: caller.key,
        source: 'http' as const,
        userId,
        tenantId: tenant,
        tier: tierFor(caller, userId, userTier),
        asked,
        traceId: traceIdOf(request.headers, request.id),
      };
      await assertRoom();
      const state = await askAllocation(deps, wanted, waitMs, deps.logger);
      const { grant } = state;
      if (waitMs > 0 && grant !== null) return reply.code(201).send(success(request, viewGrant(state, grant, mayConnect(caller, userId))));
      if (waitMs > 0 && state.status !== 'pending' && state.status !== 'waiting') return sendError(request, reply, refusalOf(state));
      const waiting = state.status === 'waiting' ? await tellEstimate(deps.store, state.requestId) : undefined;
      const answer = {
        requestId: state.requestId,
        status: state.status === 'waiting' ? ('waiting' as const) : ('pending' as const),
        reason: state.reason ?? 'PENDING',
        ...(waiting === undefined ? {} : viewPlace(waiting)),
      };
      return reply.code(202).header('location', `/scheduler/requests/${state.requestId}`).send(success(request, answer));
    },
  );
}

/** The holder is told how to reach the device; a service asks on the holder's behalf. */
function mayConnect(caller: Caller, userId: string): boolean {
  return caller.role === 'service' || caller.id === userId;
}
