import { z } from 'zod';
import { ALLOCATE_BATCH, MAX_BATCH_ALLOCATE, type NewAllocateBatch } from '../../queues/jobs/allocate-batch.ts';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { partyId } from '../../shared/allocation/party-id.ts';
import { TIER_WORDS } from '../../shared/allocation/tier.ts';
import { SchedulerError } from '../../shared/errors.ts';
import { readOutcomesById, tenantsOfUsers } from '../../shared/store/batch-rows.ts';
import { createBacklogGuard, idFrom, requestIdFor } from '../ask-allocation.ts';
import { askBatch } from '../ask-batch.ts';
import { type BatchItem, batchAnswer, failed, viewBatch } from '../batch-view.ts';
import { assertMayActFor, type Caller, tierFor } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { traceIdOf } from '../request-context.ts';
import { type Api, errorAnswers, noQuery, TENANT_RULE } from '../route-schema.ts';
import { bringsSomebody, tenantGiven, tenantSaid } from '../tenant-for.ts';

const item = z.strictObject({
  userId: partyId,
  tenantId: partyId.optional().describe(TENANT_RULE),
  userTier: z.enum(TIER_WORDS).optional().describe('Services only'),
  ...askedAllocation.pick({ durationMinutes: true, devicePreferences: true, preferredSpecs: true }).shape,
});

const body = z.strictObject({
  requests: z.array(item).min(1).max(MAX_BATCH_ALLOCATE),
  continueOnError: z.boolean().default(true).describe('Try the requests after the first one that got no device as well'),
  atomic: z.boolean().default(false).describe('All or none'),
});

const answer = batchAnswer(
  'userId',
  z.object({
    userId: z.string(),
    allocationId: z.string(),
    deviceId: z.string(),
    deviceName: z.string(),
    expiresAt: z.string().describe('ISO 8601, UTC'),
  }),
);

type Named = { readonly userId: string };

/** `POST /scheduler/allocations/batch`: devices for many, by one job and in one transaction. */
export function batchAllocateRoutes(api: Api, deps: ServerDeps): void {
  const assertRoom = createBacklogGuard(deps);
  api.post(
    '/scheduler/allocations/batch',
    {
      config: { access: 'caller', budget: 'batch' },
      schema: {
        tags: ['Batch'],
        summary: 'Allocate many devices',
        description:
          'Decided in the order given, each by the rules of a single allocation, and answered when all are decided. Nobody waits for a device: what is busy is refused.',
        querystring: noQuery,
        body,
        response: { 200: successOf(answer), ...errorAnswers(422) },
      },
    },
    async (request) => {
      const began = performance.now();
      const { caller } = request;
      const members = await membersOf(deps, caller, request.body.requests, requestIdFor(request.heldKey));
      await assertRoom();
      const { atomic, continueOnError } = request.body;
      const batch: NewAllocateBatch = {
        batchId: idFrom(`${ALLOCATE_BATCH}\n${members[0]?.requestId}`),
        caller: caller.key,
        source: 'http',
        atomic,
        continueOnError,
        members,
        traceId: traceIdOf(request.headers, request.id),
        replyTo: deps.instance,
        acceptedAt: Date.now(),
      };
      const outcomes = await askBatch(deps, {
        id: batch.batchId,
        enqueue: () => deps.producer.allocateBatch(batch),
        look: async () => whole(await readOutcomesById(deps.store, idsOf(members)), members),
      });
      return success(request, viewBatch(outcomes.map(viewItem), began));
    },
  );
}

type Member = NewAllocateBatch['members'][number];

const idsOf = (members: readonly Member[]) => members.map(({ requestId }) => requestId);

/**
 * Whom the caller may act for, and as what. The ids of the requests follow from the batch's.
 *
 * @throws SchedulerError FORBIDDEN naming the item
 */
async function membersOf(
  { store }: ServerDeps,
  caller: Caller,
  requests: z.output<typeof body>['requests'],
  batchId: string,
): Promise<Member[]> {
  const said = requests.map(({ userId, tenantId }, index) =>
    named(index, () => {
      assertMayActFor(caller, userId);
      return tenantSaid(caller, userId, tenantId);
    }),
  );
  const asked = requests.flatMap(({ userId }, index) => (said[index] === undefined || bringsSomebody(caller, userId) ? [userId] : []));
  const known = await tenantsOfUsers(store, [...new Set(asked)]);
  return requests.map(({ userId, tenantId: _stated, userTier, ...wish }, index) =>
    named(index, () => {
      const requestId = idFrom(`${batchId}\n${index}`);
      const tenantId = tenantGiven(caller, userId, said[index], known.get(userId));
      return { requestId, userId, tenantId, tier: tierFor(caller, userId, userTier), asked: wishOf(wish) };
    }),
  );
}

/** Says which item a refusal is about: `userId` becomes `requests[1].userId`. */
function named<T>(index: number, check: () => T): T {
  try {
    return check();
  } catch (error) {
    const field = error instanceof SchedulerError ? error.details?.['field'] : undefined;
    if (!(error instanceof SchedulerError) || typeof field !== 'string') throw error;
    throw new SchedulerError(error.code, {
      messages: error.messages,
      details: { ...error.details, field: `requests[${index}].${field}` },
      cause: error,
    });
  }
}

function wishOf(wish: Pick<z.output<typeof item>, 'durationMinutes' | 'devicePreferences' | 'preferredSpecs'>) {
  return askedAllocation.parse(wish);
}

/** All outcomes in the order asked, once each request has one. */
function whole(outcomes: ReadonlyMap<string, AllocateOutcome>, members: readonly Member[]) {
  const items = members.flatMap(({ requestId, userId }) => {
    const outcome = outcomes.get(requestId);
    return outcome === undefined ? [] : [{ userId, outcome }];
  });
  return items.length === members.length ? items : undefined;
}

function viewItem({
  userId,
  outcome,
}: Named & { readonly outcome: AllocateOutcome }): BatchItem<z.output<typeof answer>['successes'][number], Named> {
  switch (outcome.status) {
    case 'granted': {
      const { allocationId, deviceId, deviceName, expiresAt } = outcome.allocation;
      return { ok: true, success: { userId, allocationId, deviceId, deviceName, expiresAt } };
    }
    case 'refused':
      return failed({ userId }, outcome.code, outcome.reason);
    case 'waiting':
      return failed({ userId }, 'NO_DEVICE_AVAILABLE', outcome.reason);
    case 'cancelled':
    case 'timed_out':
      return failed({ userId }, outcome.code);
  }
}
