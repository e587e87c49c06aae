import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { HttpCaller } from './http-caller.ts';
import type { CallAnswer, CallContext } from './neighbour.ts';

/** What is billed for one ended allocation. Times in ISO 8601, `duration` in whole seconds, sizes in MB. */
export interface BillingItem {
  readonly deviceId: string;
  readonly deviceName: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly allocationId: string;
  readonly deviceConfig: { readonly cpuCores: number; readonly memoryMB: number; readonly storageMB: number };
  readonly duration: number;
  readonly startTime: string;
  readonly endTime: string;
}

/** What became of one item. */
export interface BilledItem {
  readonly allocationId: string;
  readonly answer: CallAnswer<unknown>;
}

/** Most items of one batch. */
export const BILLING_BATCH_MAX = 100;

/** Statuses by which a billing-service says that it has no batch route. */
const NO_BATCH_ROUTE = new Set([404, 405]);
/** Words a billing-service may use for an item it has on its books. */
const BILLED = new Set(['ok', 'success', 'accepted', 'recorded', 'created', 'billed', 'processed', 'queued', 'duplicate']);

const itemStatus = z.union([z.string(), z.number()]);
const batchSchema = z.object({ results: z.array(z.object({ allocationId: z.string(), status: itemStatus })) });
/** The single route may answer with nothing, or with as little; where it says what became of which item, it is held to that. */
const singleSchema = z.looseObject({ allocationId: z.string().nullish(), status: itemStatus.nullish() }).optional();

/** Tells the billing-service how long a device was held. */
export interface BillingClient {
  /** Reports one item, without repeats of its own: the ledger row owns them. */
  reportBilling(item: BillingItem, context: CallContext): Promise<CallAnswer<unknown>>;
  /**
   * Reports up to `BILLING_BATCH_MAX` items in one call; one by one where the service has no batch route.
   * Each item has its own answer; a failed call is the answer of each.
   */
  reportBillingBatch(items: readonly BillingItem[], context: CallContext): Promise<readonly BilledItem[]>;
}

export function createBillingClient(caller: HttpCaller): BillingClient {
  // Learned by the first refusal and forgotten with the process, so that a batch route they add is found at the next start.
  let batchRoute = true;

  async function reportBilling(item: BillingItem, context: CallContext): Promise<CallAnswer<unknown>> {
    const { allocationId } = item;
    const call = { method: 'POST', path: SINGLE, body: item, idempotencyKey: allocationId, schema: singleSchema, retries: 0 } as const;
    const answer = await caller.call({ ...context, ...call });
    if (answer.kind !== 'ok') return answer;
    const { allocationId: named, status } = answer.value ?? {};
    if (named !== undefined && named !== null && named !== allocationId)
      return { kind: 'unavailable', reason: `billing-service answered for ${named}`, asked: true };
    return status === undefined || status === null ? answer : judged(status, answer.value);
  }

  async function oneByOne(items: readonly BillingItem[], context: CallContext): Promise<BilledItem[]> {
    const ends = performance.now() + context.deadlineMs;
    const billed: BilledItem[] = [];
    for (const item of items) {
      const answer = await reportBilling(item, { ...context, deadlineMs: ends - performance.now() });
      billed.push({ allocationId: item.allocationId, answer });
    }
    return billed;
  }

  return {
    reportBilling,
    async reportBillingBatch(items, context) {
      if (items.length === 0) return [];
      if (!batchRoute) return oneByOne(items, context);
      const ends = performance.now() + context.deadlineMs;
      const answer = await caller.call({ ...context, ...batchCall(items), retries: 0 });
      if (answer.kind !== 'refused' || !NO_BATCH_ROUTE.has(answer.status))
        return items.map((item) => ({ allocationId: item.allocationId, answer: answerFor(item, answer) }));
      batchRoute = false;
      return oneByOne(items, { ...context, deadlineMs: ends - performance.now() });
    },
  };
}

const SINGLE = ['api', 'internal', 'metering', 'device-usage'] as const;

function batchCall(items: readonly BillingItem[]) {
  return {
    method: 'POST',
    path: [...SINGLE, 'batch'],
    body: { items: items.map((item) => ({ ...item, idempotencyKey: item.allocationId })) },
    idempotencyKey: batchKey(items.map((item) => item.allocationId)),
    schema: batchSchema,
  } as const;
}

/** The same ids in any order give the same key. */
export function batchKey(allocationIds: readonly string[]): string {
  return createHash('sha256')
    .update([...allocationIds].sort().join(','))
    .digest('hex');
}

type BatchAnswer = CallAnswer<z.output<typeof batchSchema>>;

function answerFor(item: BillingItem, batch: BatchAnswer): CallAnswer<unknown> {
  if (batch.kind !== 'ok') return batch;
  const result = batch.value.results.find((row) => row.allocationId === item.allocationId);
  if (result === undefined) return { kind: 'refused', status: 200, reason: 'billing-service left the item out of its answer' };
  return judged(result.status, result);
}

/** What a status says of the item it is about. */
function judged(status: string | number, value: unknown): CallAnswer<unknown> {
  const billed = typeof status === 'number' ? status < 300 : BILLED.has(status.toLowerCase());
  return billed ? { kind: 'ok', value } : { kind: 'refused', status: 200, reason: `billing-service answered ${status} for the item` };
}
