import { type ExtendedItem, type ExtendOutcome, type ExtendPayload, extendedItem } from '../../queues/jobs/extend.ts';
import type { BalanceFact } from '../../shared/allocation/facts.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { RenewalRules } from '../../shared/renewal/decide-extend.ts';
import {
  type AskedExtension,
  type ExtendResult,
  extensionIdOf,
  type ProposedExtension,
  planExtends,
} from '../../shared/renewal/plan-extends.ts';
import type { Collector } from '../../shared/run/collector.ts';
import { lookAtExtensions } from '../../shared/store/extend-facts.ts';
import type { Store } from '../../shared/store/store.ts';

/** What extending needs: where the facts come from and where the groups form. */
export interface ExtendParts {
  readonly store: Store;
  readonly balanceOf: (userId: string, options: { deadlineMs: number; traceId: string | undefined }) => Promise<BalanceFact>;
  readonly rules: RenewalRules;
  readonly collector: Collector<ProposedExtension, ExtendResult>;
  readonly metrics: Metrics;
}

/** Longest wait for balances, ms: a slow billing-service must not cost holders their devices. */
const GATHER_DEADLINE_MS = 2_000;

/**
 * Gives allocations more time: gather, then decide and commit together with whatever else is being extended.
 *
 * What can be refused without the balance is refused at once, and billing is not asked. Safe to run twice and to be
 * killed anywhere: an extension has an id, and one that is written is answered as it was.
 *
 * @throws SchedulerError STORE_UNAVAILABLE; the queue tries again
 */
export async function extend(parts: ExtendParts, payload: ExtendPayload): Promise<ExtendOutcome> {
  const proposals = proposalsOf(payload);
  const facts = await lookAtExtensions(parts.store, proposals);
  const first = planExtends(proposals, facts, parts.rules);
  const open = proposals.filter((_, position) => isOpen(first[position]));
  const balances = await readBalances(
    parts,
    new Set(open.flatMap(({ allocationId }) => facts.allocations.get(allocationId)?.userId ?? [])),
    payload,
  );
  const results = await Promise.all(
    proposals.map(async (proposal, position) => {
      const early = first[position];
      if (early !== undefined && !isOpen(early)) return early;
      const userId = facts.allocations.get(proposal.allocationId)?.userId ?? '';
      return parts.collector.submit({ ...proposal, balance: balances.get(userId) });
    }),
  );
  const items = results.map(toItem);
  for (const item of items) {
    parts.metrics.extensions.inc({ outcome: item.status, code: item.status === 'refused' ? item.code : '', automatic: 'false' });
  }
  return { status: 'done', items };
}

function proposalsOf(payload: ExtendPayload): AskedExtension[] {
  const { extendId, reach, additionalMinutes, fence, reason, caller } = payload;
  return payload.allocationIds.map((allocationId) => ({
    kind: 'asked',
    extensionId: extensionIdOf(extendId, allocationId),
    allocationId,
    reach,
    additionalMinutes,
    fence,
    reason: reason ?? null,
    by: caller,
    balance: undefined,
  }));
}

/** Whether the balance is all that could still stand in the way. */
function isOpen(result: ExtendResult | undefined): boolean {
  return result?.status === 'extended' && !result.repeated;
}

async function readBalances({ balanceOf }: ExtendParts, userIds: ReadonlySet<string>, { traceId }: ExtendPayload) {
  const options = { deadlineMs: GATHER_DEADLINE_MS, traceId };
  const read = [...userIds].map(async (userId) => [userId, await balanceOf(userId, options)] as const);
  return new Map(await Promise.all(read));
}

/** The words of a result for whoever asked. */
function toItem(result: ExtendResult): ExtendedItem {
  if (result.status === 'extended') return extendedItem(result.extension);
  const { allocationId } = result;
  if (result.status === 'refused') return { status: 'refused', allocationId, ...result.refusal };
  throw new Error(`an extension that was asked for was left: ${result.why}`);
}
