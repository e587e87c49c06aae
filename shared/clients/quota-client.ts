import { type Quota, quotaSchema } from '../quota/quota.ts';
import type { HttpCaller } from './http-caller.ts';
import type { CallContext } from './neighbour.ts';

/** What one call to the user-service brought. `retryAfterMs`: what it wants us to wait. */
export type FetchedQuota =
  | { readonly kind: 'known'; readonly quota: Quota }
  | { readonly kind: 'none' }
  | { readonly kind: 'unavailable'; readonly reason: string; readonly retryAfterMs?: number | undefined };

/** Reads quotas from the user-service, one call each. Their limiter is tight: ask through `createQuotaFacts`. */
export interface QuotaClient {
  fetchQuota(userId: string, context: CallContext): Promise<FetchedQuota>;
}

export function createQuotaClient(caller: HttpCaller): QuotaClient {
  return {
    async fetchQuota(userId, context) {
      const answer = await caller.call({ ...context, method: 'GET', path: ['internal', 'quotas', 'user', userId], schema: quotaSchema });
      if (answer.kind === 'ok') return { kind: 'known', quota: answer.value };
      if (answer.kind === 'refused' && answer.status === 404) return { kind: 'none' };
      return { kind: 'unavailable', reason: answer.reason, retryAfterMs: answer.kind === 'refused' ? undefined : answer.retryAfterMs };
    },
  };
}
