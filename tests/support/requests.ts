import { randomUUID } from 'node:crypto';
import type { NewAllocate } from '../../queues/jobs/allocate.ts';

/** An allocate job with nothing special about it. */
export function newRequest(changes: Partial<NewAllocate> = {}): NewAllocate {
  return {
    requestId: randomUUID(),
    caller: 'service:test',
    source: 'client',
    userId: 'user-1',
    tenantId: null,
    tier: 'standard',
    asked: { durationMinutes: 60, queueIfBusy: false, maxWaitMinutes: 30, autoExtend: false },
    acceptedAt: Date.now(),
    ...changes,
  };
}
