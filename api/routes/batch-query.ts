import { z } from 'zod';
import { partyId } from '../../shared/allocation/party-id.ts';
import { listAllocationsOfUsers } from '../../shared/store/allocation-history.ts';
import { assertMayActFor, reachOf } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { type Api, errorAnswers, noQuery } from '../route-schema.ts';
import { recordAnswer, viewRecord } from './allocations.ts';

const MOST_USERS = 100;
/** Of one user; the history has the rest. */
const MOST_OF_ONE = 100;

const body = z.strictObject({
  userIds: z.array(partyId).min(1).max(MOST_USERS),
  activeOnly: z.boolean().default(true),
});

const answer = z.object({ allocations: z.record(z.string(), z.array(recordAnswer)) });

/** `POST /scheduler/allocations/batch/query`: what many users hold, in one statement. */
export function batchQueryRoutes(api: Api, deps: ServerDeps): void {
  api.post(
    '/scheduler/allocations/batch/query',
    {
      config: { access: 'caller', budget: 'batch' },
      schema: {
        tags: ['Batch'],
        summary: 'What many users hold',
        description: `Newest first, at most ${MOST_OF_ONE} of a user. A user without any, or out of reach, has an empty list.`,
        querystring: noQuery,
        body,
        response: { 200: successOf(answer), ...errorAnswers(422) },
      },
    },
    async (request) => {
      const { userIds, activeOnly } = request.body;
      for (const userId of userIds) assertMayActFor(request.caller, userId);
      const found = await listAllocationsOfUsers(deps.store, userIds, reachOf(request.caller), activeOnly, MOST_OF_ONE);
      const byUser = Map.groupBy(found, ({ userId }) => userId);
      const allocations = Object.fromEntries(userIds.map((userId) => [userId, (byUser.get(userId) ?? []).map(viewRecord)]));
      return success(request, { allocations });
    },
  );
}
