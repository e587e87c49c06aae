import { hash } from 'node:crypto';
import type { Refusal } from '../allocation/decide-eligibility.ts';
import type { BalanceFact } from '../allocation/facts.ts';
import { termCost } from '../allocation/full-term.ts';
import { isWithinReach } from '../allocation/reach.ts';
import { decideAutoExtend } from './decide-auto-extend.ts';
import { decideExtend, type Extended, type ExtendFacts, type ExtendRequest, type RenewalRules, remainingExtends } from './decide-extend.ts';

/** An extension that somebody asked for. Its id makes a repeat harmless. */
export interface AskedExtension extends ExtendRequest {
  readonly kind: 'asked';
  readonly extensionId: string;
  readonly allocationId: string;
  readonly balance: BalanceFact | undefined;
  readonly reason: string | null;
  /** Who asked: `user:<id>` or `service:<name>`. */
  readonly by: string;
}

/** An extension of an allocation whose holder asked for `autoExtend`. */
export interface AutomaticExtension {
  readonly kind: 'automatic';
  readonly allocationId: string;
  /** When it ended as it was found due: with another end by now, another sweep or its holder has extended it. */
  readonly endsAt?: Date;
  readonly balance: BalanceFact | undefined;
}

export type ProposedExtension = AskedExtension | AutomaticExtension;

/** An extension to be written, or one that was written before. */
export interface Extension extends Extended {
  readonly extensionId: string;
  readonly allocationId: string;
  readonly automatic: boolean;
  readonly reason: string | null;
  readonly by: string;
  readonly balanceUnchecked: boolean;
}

/** What became of one proposal. `repeated`: it was carried out before; `left`: an automatic one that was not to be. */
export type ExtendResult =
  | { readonly status: 'extended'; readonly extension: Extension; readonly repeated: boolean }
  | { readonly status: 'refused'; readonly allocationId: string; readonly refusal: Refusal }
  | { readonly status: 'left'; readonly allocationId: string; readonly why: string };

/** Everything read under the locks of the allocations. */
export interface ExtendGroupFacts {
  readonly now: Date;
  readonly allocations: ReadonlyMap<string, ExtendFacts>;
  /** Extensions of the proposed ids that are written already. */
  readonly done: ReadonlyMap<string, Omit<Extension, 'remainingExtends'>>;
  /** Allocations whose device somebody waits for. */
  readonly wanted: ReadonlySet<string>;
}

/** Who extends what nobody asked for at that moment. */
export const AUTOMATIC = 'scheduler';

/**
 * Decides proposals in the order given, as if they had come one after the other: the second extension of an allocation
 * in one group meets the count, the total and the cooldown the first one leaves. Pure.
 *
 * @returns results in the order of the proposals
 */
export function planExtends(proposals: readonly ProposedExtension[], facts: ExtendGroupFacts, rules: RenewalRules): ExtendResult[] {
  const allocations = new Map(facts.allocations);
  const done = new Map(facts.done);
  return proposals.map((proposal) => {
    const allocation = allocations.get(proposal.allocationId);
    const result = repeatOf(proposal, allocation, done, rules) ?? decide(proposal, allocation, facts, rules);
    if (result.status === 'extended' && !result.repeated && allocation !== undefined) {
      allocations.set(proposal.allocationId, extendedFacts(allocation, result.extension, facts.now));
      commit(allocations, allocation, result.extension.additionalMinutes);
      done.set(result.extension.extensionId, result.extension);
    }
    return result;
  });
}

/** What one extension of a user costs is no longer there for another one. */
function commit(allocations: Map<string, ExtendFacts>, { userId, costPerHour }: ExtendFacts, minutes: number): void {
  const cost = termCost(costPerHour, minutes);
  if (cost === 0) return;
  for (const [id, other] of allocations)
    if (other.userId === userId) allocations.set(id, { ...other, committed: (other.committed ?? 0) + cost });
}

/** The id of an extension: the same call and the same allocation are the same extension. */
export function extensionIdOf(callId: string, allocationId: string): string {
  const hex = hash('sha256', `extension:${callId}:${allocationId}`, 'hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function repeatOf(
  proposal: ProposedExtension,
  allocation: ExtendFacts | undefined,
  done: ExtendGroupFacts['done'],
  { policies }: RenewalRules,
): ExtendResult | undefined {
  if (proposal.kind === 'automatic' || allocation === undefined || !isWithinReach(proposal.reach, allocation)) return undefined;
  const before = done.get(proposal.extensionId);
  if (before === undefined) return undefined;
  const extension = { ...before, remainingExtends: remainingExtends(policies[allocation.tier], before.extendCount) };
  return { status: 'extended', extension, repeated: true };
}

function decide(
  proposal: ProposedExtension,
  allocation: ExtendFacts | undefined,
  { now, wanted }: ExtendGroupFacts,
  rules: RenewalRules,
): ExtendResult {
  const { allocationId, balance } = proposal;
  if (proposal.kind === 'asked') {
    const decision = decideExtend(proposal, allocation, balance, rules, now);
    if (decision.kind === 'refused') return { status: 'refused', allocationId, refusal: decision.refusal };
    const { extensionId, reason, by } = proposal;
    return extended({ ...decision, extensionId, allocationId, automatic: false, reason, by });
  }
  if (allocation === undefined) return { status: 'left', allocationId, why: 'ALLOCATION_NOT_FOUND' };
  if (proposal.endsAt !== undefined && proposal.endsAt.getTime() !== allocation.expiresAt.getTime())
    return { status: 'left', allocationId, why: 'EXTENDED_MEANWHILE' };
  const decision = decideAutoExtend(allocation, wanted.has(allocationId), balance, rules, now);
  if (decision.kind === 'left') return { status: 'left', allocationId, why: decision.why };
  const extensionId = extensionIdOf(`automatic-${decision.extendCount}`, allocationId);
  return extended({ ...decision, extensionId, allocationId, automatic: true, reason: null, by: AUTOMATIC });
}

function extended({ kind: _, ...extension }: Extension & { readonly kind: 'extend' }): ExtendResult {
  return { status: 'extended', extension, repeated: false };
}

function extendedFacts(facts: ExtendFacts, extension: Extension, now: Date): ExtendFacts {
  return {
    ...facts,
    expiresAt: extension.newExpiresAt,
    durationMinutes: extension.totalDurationMinutes,
    extendCount: extension.extendCount,
    lastExtendedAt: now,
  };
}
