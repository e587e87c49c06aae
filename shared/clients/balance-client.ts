import { z } from 'zod';
import type { HttpCaller } from './http-caller.ts';
import type { CallContext } from './neighbour.ts';

const MAY_ALLOCATE = ['active', 'normal', 'low'] as const;
const MAY_NOT = ['insufficient', 'frozen', 'suspended'] as const;

const balanceSchema = z.object({
  balance: z.union([z.number(), z.string().regex(/^-?\d+(\.\d+)?$/, 'must be a decimal number')]),
  status: z.enum([...MAY_ALLOCATE, ...MAY_NOT]),
});

/** What one call to the billing-service brought. */
export type FetchedBalance =
  | { readonly kind: 'allowed' | 'refused'; readonly status: string; readonly balance: string | number }
  | { readonly kind: 'unavailable'; readonly reason: string; readonly retryAfterMs?: number | undefined };

/** Reads balances from the billing-service, one call each. */
export interface BalanceClient {
  fetchBalance(userId: string, context: CallContext): Promise<FetchedBalance>;
}

export function createBalanceClient(caller: HttpCaller): BalanceClient {
  return {
    async fetchBalance(userId, context) {
      const answer = await caller.call({
        ...context,
        method: 'GET',
        path: ['api', 'internal', 'balance', 'user', userId],
        schema: balanceSchema,
      });
      if (answer.kind === 'ok') return { kind: mayAllocate(answer.value.status) ? 'allowed' : 'refused', ...answer.value };
      if (answer.kind === 'refused' && answer.status === 402) return { kind: 'refused', status: 'insufficient', balance: 0 };
      // An account billing does not know is no statement about money: the policy for outages decides.
      return { kind: 'unavailable', reason: answer.reason, retryAfterMs: answer.kind === 'refused' ? undefined : answer.retryAfterMs };
    },
  };
}

function mayAllocate(status: string): boolean {
  return MAY_ALLOCATE.some((allowed) => allowed === status);
}
