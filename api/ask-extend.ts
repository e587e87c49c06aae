import { type ExtendedItem, type ExtendOutcome, type ExtendPayload, extendedItem } from '../queues/jobs/extend.ts';
import { SchedulerError } from '../shared/errors.ts';
import { remainingExtends } from '../shared/renewal/decide-extend.ts';
import { extensionIdOf } from '../shared/renewal/plan-extends.ts';
import { lookAtExtensions } from '../shared/store/extend-facts.ts';
import type { ServerDeps } from './deps.ts';

/** Longest wait for the outcome, ms. */
const WAIT_MS = 5_000;

/**
 * Hands an extension over and waits for its outcome.
 *
 * The message may get lost: then the job is asked, and one that has not begun is taken back, so that nothing is extended
 * after its caller was told that it was not. What has begun shows in the rows.
 *
 * @returns one item an allocation, in the order they were named
 * @throws SchedulerError QUEUE_UNAVAILABLE
 */
export async function askExtend(deps: ServerDeps, payload: ExtendPayload): Promise<readonly ExtendedItem[]> {
  const told = deps.outcomes.wait(payload.extendId, WAIT_MS);
  await deps.producer.extend(payload);
  const outcome = (await told) as ExtendOutcome | undefined;
  return outcome?.items ?? (await settle(deps, payload));
}

async function settle(deps: ServerDeps, payload: ExtendPayload): Promise<readonly ExtendedItem[]> {
  const settled = await deps.producer.settleExtend(payload.extendId);
  if (settled.kind === 'finished') return (settled.outcome as ExtendOutcome).items;
  if (settled.kind === 'withdrawn') throw notInTime('The extension was not carried out.');
  const items = await readItems(deps, payload);
  if (items.some(({ status }) => status === 'extended')) return items;
  throw notInTime('The extension was not carried out in time; it may still be.');
}

/** What the rows say of an extension that is being worked on: nothing of it is written, or all. */
async function readItems({ store, options }: ServerDeps, { extendId, allocationIds }: ExtendPayload): Promise<ExtendedItem[]> {
  const named = allocationIds.map((allocationId) => ({ allocationId, extensionId: extensionIdOf(extendId, allocationId) }));
  const { done, allocations } = await lookAtExtensions(store, named);
  return named.map(({ allocationId, extensionId }) => {
    const extension = done.get(extensionId);
    const tier = allocations.get(allocationId)?.tier;
    if (extension === undefined || tier === undefined) {
      return { status: 'refused', allocationId, code: 'QUEUE_UNAVAILABLE', reason: 'not carried out in time; ask again' };
    }
    return extendedItem({ ...extension, remainingExtends: remainingExtends(options.renewal.policies[tier], extension.extendCount) });
  });
}

function notInTime(sentence: string): SchedulerError {
  return new SchedulerError('QUEUE_UNAVAILABLE', { messages: [sentence, 'Ask again.'], retryAfter: 1 });
}
