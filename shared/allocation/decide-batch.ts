import type { Decision } from './plan-group.ts';

/** How the requests of one batch stand to each other. */
export interface BatchRule {
  /** All are granted or none is. */
  readonly atomic: boolean;
  /** Whether the requests after the first one that got no device are still tried. */
  readonly continueOnError: boolean;
}

/** Whether what becomes of one request depends on the others. */
export function isBound({ atomic, continueOnError }: BatchRule): boolean {
  return atomic || !continueOnError;
}

const ABORTED: Decision = {
  kind: 'refused',
  refusal: { code: 'BATCH_ABORTED', reason: 'another request of the batch got no device' },
};

/**
 * Applies the rule of a batch to what was decided for each request by itself.
 *
 * A contended request is not decided yet: of an atomic batch nothing is decided then, of one that stops at the first
 * failure nothing from there on. Requests decided before (`settled`) stand as they are.
 *
 * @param order  request ids in the order asked
 */
export function decideBatch(
  order: readonly string[],
  decisions: ReadonlyMap<string, Decision>,
  rule: BatchRule,
): ReadonlyMap<string, Decision> {
  if (!isBound(rule)) return decisions;
  return rule.atomic ? allOrNone(order, decisions) : untilFailure(order, decisions);
}

function allOrNone(order: readonly string[], decisions: ReadonlyMap<string, Decision>): ReadonlyMap<string, Decision> {
  const kinds = order.map((id) => decisions.get(id)?.kind ?? 'contended');
  const failed = kinds.some((kind) => kind === 'refused' || kind === 'timed-out' || kind === 'waiting');
  if (failed) return new Map(order.map((id) => [id, aborted(decisions.get(id))]));
  if (kinds.includes('contended')) return new Map(order.map((id) => [id, putOff(decisions.get(id))]));
  return decisions;
}

function untilFailure(order: readonly string[], decisions: ReadonlyMap<string, Decision>): ReadonlyMap<string, Decision> {
  let change = (decision: Decision | undefined): Decision => decision ?? { kind: 'contended' };
  const result = new Map<string, Decision>();
  for (const id of order) {
    const decision = change(decisions.get(id));
    result.set(id, decision);
    if (decision.kind === 'contended') change = putOff;
    if (decision.kind === 'refused' || decision.kind === 'timed-out' || decision.kind === 'waiting') change = aborted;
  }
  return result;
}

/** What was refused for a reason of its own keeps it. */
function aborted(decision: Decision | undefined): Decision {
  return decision === undefined || decision.kind === 'granted' || decision.kind === 'contended' ? ABORTED : decision;
}

function putOff(decision: Decision | undefined): Decision {
  return decision?.kind === 'settled' ? decision : { kind: 'contended' };
}
