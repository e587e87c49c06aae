import { z } from 'zod';
import { partyId } from '../../shared/allocation/party-id.ts';
import { SchedulerError } from '../../shared/errors.ts';
import { readUserState, type UserState } from '../../shared/store/user-state.ts';
import { reachOf } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { type Api, errorAnswers, noQuery } from '../route-schema.ts';

const instant = z.string().describe('ISO 8601, UTC');
const BLOCKS = ['USER_DELETED', 'USER_SUSPENDED', 'ACCOUNT_IN_ARREARS'] as const;

const answer = z.object({
  userId: z.string(),
  tenantId: z.string().nullable(),
  blocked: z.boolean().describe('Whether the user gets no device at all'),
  blockCode: z.enum(BLOCKS).optional().describe('With which code they are refused then'),
  state: z.enum(['active', 'suspended', 'deleted']),
  arrearsSince: instant.nullable(),
  paymentFailures: z.int(),
  limits: z.record(z.string(), z.unknown()).nullable().describe('As the quota service said them last'),
  limitsFetchedAt: instant.nullable(),
  use: z.object({ devices: z.int(), cpuCores: z.int(), memoryMB: z.int(), storageMB: z.int() }),
});

/** `GET /scheduler/users/:userId`: whether a user is blocked, their limits, and what they hold. */
export function userRoutes(api: Api, { store }: ServerDeps): void {
  api.get(
    '/scheduler/users/:userId',
    {
      config: { access: 'administrative', budget: 'read' },
      schema: {
        tags: ['Operations'],
        summary: 'Block state, limits and live use of a user',
        params: z.strictObject({ userId: partyId }),
        querystring: noQuery,
        response: { 200: successOf(answer), ...errorAnswers(404) },
      },
    },
    async (request) => {
      const user = await readUserState(store, request.params.userId, reachOf(request.caller));
      if (user === undefined) throw new SchedulerError('NOT_FOUND', { messages: ['There is no such user.'] });
      return success(request, viewUser(user));
    },
  );
}

function viewUser(user: UserState): z.output<typeof answer> {
  const blockCode = blockOf(user);
  return {
    ...user,
    blocked: blockCode !== undefined,
    ...(blockCode === undefined ? {} : { blockCode }),
    arrearsSince: user.arrearsSince?.toISOString() ?? null,
    limits: user.limits === null ? null : { ...user.limits },
    limitsFetchedAt: user.limitsFetchedAt?.toISOString() ?? null,
  };
}

function blockOf({ state, arrearsSince }: UserState): (typeof BLOCKS)[number] | undefined {
  if (state === 'deleted') return 'USER_DELETED';
  if (state === 'suspended') return 'USER_SUSPENDED';
  return arrearsSince === null ? undefined : 'ACCOUNT_IN_ARREARS';
}
