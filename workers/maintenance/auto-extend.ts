import type { BalanceFacts } from '../../shared/clients/balance-facts.ts';
import { SchedulerError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { RenewalRules } from '../../shared/renewal/decide-extend.ts';
import { type AutomaticExtension, type ExtendResult, planExtends } from '../../shared/renewal/plan-extends.ts';
import { type DueForExtension, readDueForExtension } from '../../shared/store/due-for-extension.ts';
import { lookAtExtensions } from '../../shared/store/extend-facts.ts';
import { extendGroup } from '../../shared/store/extend-group.ts';
import type { Store } from '../../shared/store/store.ts';

/** What automatic extensions are made with. */
export interface AutoExtendSettings {
  readonly balance: Pick<BalanceFacts, 'balanceOf'>;
  readonly rules: RenewalRules;
  /** How long before its end an allocation is extended, s. */
  readonly leadSeconds: number;
}

export interface AutoExtendParts extends AutoExtendSettings {
  readonly store: Store;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Tells the relay that the outbox has new rows. */
  readonly announce: () => Promise<void>;
}

/** What became of the due allocations. `failed`: something about the row is wrong; it is logged, and the rest went on. */
export type AutoExtended = Readonly<Record<'extended' | 'left' | 'failed', number>>;

/** Allocations extended in one transaction, and balances asked for at once. */
const BATCH = 100;
const GATHER_DEADLINE_MS = 2_000;

/**
 * Extends what was allocated with `autoExtend` and ends soon, page after page. What another sweep or call is working on is
 * passed over. Running twice changes nothing: an allocation that was extended is not due any more.
 */
export async function autoExtend(parts: AutoExtendParts, signal: AbortSignal): Promise<AutoExtended> {
  const total = { extended: 0, left: 0, failed: 0 };
  let after: DueForExtension | undefined;
  for (;;) {
    signal.throwIfAborted();
    const due = await readDueForExtension(parts.store, parts.leadSeconds, after, BATCH);
    if (due.length === 0) return total;
    after = due.at(-1);
    const results = await extendPage(parts, await gather(parts, due));
    for (const result of results) count(parts.metrics, total, result);
    if (results.some((result) => result?.status === 'extended')) await parts.announce();
  }
}

/** Asks billing for those that nothing else keeps from being extended. */
async function gather({ store, balance, rules }: AutoExtendParts, due: readonly DueForExtension[]): Promise<AutomaticExtension[]> {
  const proposals = due.map(({ allocationId }) => ({ kind: 'automatic', allocationId, balance: undefined }) as const);
  const facts = await lookAtExtensions(
    store,
    due.map(({ allocationId }) => ({ allocationId, extensionId: null })),
  );
  const first = planExtends(proposals, facts, rules);
  const userIds = new Set(due.flatMap(({ userId }, position) => (first[position]?.status === 'extended' ? [userId] : [])));
  const options = { deadlineMs: GATHER_DEADLINE_MS, traceId: undefined };
  const read = await Promise.all([...userIds].map(async (userId) => [userId, await balance.balanceOf(userId, options)] as const));
  const balances = new Map(read);
  return due.map(({ allocationId, userId, expiresAt }) => ({
    kind: 'automatic',
    allocationId,
    endsAt: expiresAt,
    balance: balances.get(userId),
  }));
}

/** One transaction; should it fail on account of a row, one for each, so that the bad row stops nobody else. */
async function extendPage(parts: AutoExtendParts, page: readonly AutomaticExtension[]): Promise<(ExtendResult | undefined)[]> {
  const { store, rules, logger } = parts;
  try {
    return await extendGroup(store, page, rules, { skip: true });
  } catch (error) {
    if (error instanceof SchedulerError) throw error;
    const [only] = page;
    if (only === undefined || page.length > 1) return (await eachAlone(parts, page)).flat();
    logger.error(
      { err: error, allocationId: only.allocationId },
      'an allocation could not be extended by itself; tried again until it ends',
    );
    return [undefined];
  }
}

async function eachAlone(parts: AutoExtendParts, page: readonly AutomaticExtension[]): Promise<(ExtendResult | undefined)[][]> {
  const results = [];
  for (const proposal of page) results.push(await extendPage(parts, [proposal]));
  return results;
}

function count(metrics: Metrics, total: Record<keyof AutoExtended, number>, result: ExtendResult | undefined): void {
  const outcome = result === undefined ? 'failed' : result.status === 'extended' ? 'extended' : 'left';
  total[outcome] += 1;
  metrics.extensions.inc({ outcome, code: result?.status === 'left' ? result.why : '', automatic: 'true' });
}
