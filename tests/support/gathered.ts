import { randomUUID } from 'node:crypto';
import { type AskedAllocationInput, askedAllocation } from '../../shared/allocation/asked.ts';
import type { AllocationRequest, GatheredRequest } from '../../shared/allocation/facts.ts';
import { quotaOf } from './api-bench.ts';

/** A balance that is no obstacle. */
export const SOLVENT = { kind: 'allowed', status: 'ok', balance: 100 } as const;

/** A request of a user with nothing special about it. */
export function requestBy(
  userId: string,
  asked: AskedAllocationInput = {},
  changes: Partial<Omit<AllocationRequest, 'asked'>> = {},
): AllocationRequest {
  return {
    requestId: randomUUID(),
    caller: 'test',
    source: 'http',
    userId,
    tenantId: null,
    tier: 'standard',
    asked: askedAllocation.parse(asked),
    traceId: undefined,
    ...changes,
  };
}

/** The same with its facts: ten devices and money. */
export function gathered(request: AllocationRequest): GatheredRequest {
  return { request, quota: quotaOf(10), balance: SOLVENT };
}
