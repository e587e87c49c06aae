import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { MAX_BATCH_RELEASE } from '../../queues/jobs/release-batch.ts';
import { readStanding, type StandingAllocation } from '../../shared/store/batch-rows.ts';
import { askBatch } from '../ask-batch.ts';
import { type BatchItem, batchAnswer, failed, viewBatch } from '../batch-view.ts';
import { reachOf } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { traceIdOf } from '../request-context.ts';
import { type Api, errorAnswers, noQuery } from '../route-schema.ts';

const body = z.strictObject({
  allocationIds: z.array(z.guid().toLowerCase()).min(1).max(MAX_BATCH_RELEASE),
  reason: z.string().min(1).max(500).optional(),
});

const released = z.object({ allocationId: z.string(), deviceId: z.string(), durationSeconds: z.int(), endReason: z.string() });
const answer = batchAnswer('allocationId', released);

/** `POST /scheduler/allocations/batch/release`: ends many allocations, by one job and in one transaction. */
export function batchReleaseRoutes(api: Api, deps: ServerDeps): void {
  api.post(
    '/scheduler/allocations/batch/release',
    {
      config: { access: 'caller', budget: 'batch' },
      schema: {
        tags: ['Batch'],
        summary: 'Release many devices',
        description: 'Each by the rules of a single release: one that has ended already answers how it ended.',
        querystring: noQuery,
        body,
        response: { 200: successOf(answer), ...errorAnswers(422) },
      },
    },
    async (request) => {
      const began = performance.now();
      const { caller } = request;
      const allocationIds = request.body.allocationIds.map((id) => id.toLowerCase());
      const look = () => readStanding(deps.store, allocationIds, reachOf(caller));
      const before = await look();
      const live = [...before.values()].filter(({ end }) => end === undefined).map(({ allocationId }) => allocationId);
      const after = live.length === 0 ? before : await end(live);
      return success(
        request,
        viewBatch(
          allocationIds.map((id) => viewItem(id, after.get(id))),
          began,
        ),
      );

      function end(ids: readonly string[]): Promise<ReadonlyMap<string, StandingAllocation>> {
        const batchId = randomUUID();
        const payload = {
          batchId,
          caller: caller.key,
          userId: caller.role === 'user' ? caller.id : null,
          tenantId: null,
          allocationIds: [...ids],
          endReason: 'batch_released' as const,
          ...(request.body.reason === undefined ? {} : { reason: request.body.reason }),
          replyTo: deps.instance,
          traceId: traceIdOf(request.headers, request.id),
        };
        return askBatch(deps, {
          id: batchId,
          enqueue: () => deps.producer.releaseBatch(payload),
          look: async () => allEnded(await look()),
        });
      }
    },
  );
}

function allEnded(standing: ReadonlyMap<string, StandingAllocation>): ReadonlyMap<string, StandingAllocation> | undefined {
  return [...standing.values()].every(({ end }) => end !== undefined) ? standing : undefined;
}

function viewItem(
  allocationId: string,
  standing: StandingAllocation | undefined,
): BatchItem<z.output<typeof released>, { readonly allocationId: string }> {
  if (standing?.end === undefined) return failed({ allocationId }, 'ALLOCATION_NOT_FOUND');
  return { ok: true, success: { allocationId, deviceId: standing.deviceId, ...standing.end } };
}
