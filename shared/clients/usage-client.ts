import { z } from 'zod';
import type { HttpCaller } from './http-caller.ts';
import type { CallAnswer, CallContext } from './neighbour.ts';

/** One change of a user's use. Memory and storage in GB, 1 GB = 1024 MB. */
export interface UsageReport {
  readonly allocationId: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly cpuCores: number;
  readonly memoryGB: number;
  readonly storageGB: number;
  readonly operation: 'increment' | 'decrement';
}

/** Tells the user-service what a user holds. */
export interface UsageClient {
  /** Reports once, without repeats of its own: the outbox row owns them. A repeat has the same key and counts once. */
  reportUsage(report: UsageReport, context: CallContext): Promise<CallAnswer<unknown>>;
}

export function createUsageClient(caller: HttpCaller): UsageClient {
  return {
    reportUsage({ allocationId, userId, ...body }, context) {
      return caller.call({
        ...context,
        method: 'POST',
        path: ['internal', 'quotas', 'user', userId, 'usage'],
        body,
        idempotencyKey: `${allocationId}:${body.operation}`,
        // Their body says nothing we use; that it is JSON at all shows that the service itself answered.
        schema: z.unknown(),
        retries: 0,
      });
    },
  };
}
