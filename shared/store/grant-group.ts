import { type BatchRule, decideBatch } from '../allocation/decide-batch.ts';
import type { GatheredRequest, OutagePolicy } from '../allocation/facts.ts';
import type { AllocateOutcome } from '../allocation/outcome.ts';
import { type Matched, planGroup } from '../allocation/plan-group.ts';
import { faultPoint } from '../fault-point.ts';
import type { Strategy } from '../placement/strategy.ts';
import { spannedGroup } from '../spans.ts';
import { commitGrants } from './commit-grants.ts';
import { lockUsers, readGroupFacts } from './grant-facts.ts';
import { readOutcomes } from './outcomes.ts';
import { readShortage } from './pick-devices.ts';
import { pickUnawaited } from './pick-unawaited.ts';
import type { Store, Transaction } from './store.ts';
import { awaitTurn } from './strategy-locks.ts';

/** What a group needs besides its requests. */
export interface GrantPolicy extends OutagePolicy {
  readonly strategy: Strategy;
}

/** The outcome of one request of a group; `contended`: nothing was decided or written, ask again. */
export type GroupOutcome = AllocateOutcome | { readonly status: 'contended'; readonly requestId: string };

/**
 * Decides a group of requests in one transaction: lock the users, read, decide, pick devices, write.
 *
 * Requests that wait are decided only for the device they were matched to; to everybody else a device that somebody waits
 * for is not free. The same request twice in the group is decided once. Nothing is called over the network in here but Postgres.
 *
 * @param batch  how the requests stand to each other when they were asked for as one batch
 * @param matched  devices by the ids of waiting requests
 * @returns outcomes in the order of the requests
 * @throws SchedulerError STORE_UNAVAILABLE when Postgres is away; nothing of the group has happened then, or (answer
 *   lost after the commit) a repeat finds it settled
 */
export async function grantGroup(
  store: Store,
  group: readonly GatheredRequest[],
  policy: GrantPolicy,
  batch?: BatchRule,
  matched: Matched = new Map(),
): Promise<GroupOutcome[]> {
  const once = [...new Map(group.map((gathered) => [gathered.request.requestId, gathered])).values()];
  const traces = once.map(({ request }) => request.traceId);
  const outcomes = await spannedGroup('decide group', traces, () =>
    store.transaction((tx) => decideAndWrite(tx, once, policy, batch, matched)),
  );
  return group.map(({ request }) => outcomes.get(request.requestId) ?? { status: 'contended', requestId: request.requestId });
}

async function decideAndWrite(
  tx: Transaction,
  group: readonly GatheredRequest[],
  policy: GrantPolicy,
  batch: BatchRule | undefined,
  matched: Matched,
): Promise<Map<string, AllocateOutcome>> {
  const { strategy } = policy;
  if (strategy.type === 'load_balancing') await awaitTurn(tx);
  await lockUsers(tx, group);
  const facts = await readGroupFacts(tx, group, strategy, policy.reserveFullTerm);
  await lockMatched(tx, matched);
  faultPoint('grant.4');
  const plan = planGroup(group, facts, policy, matched, strategy);
  const taken: string[] = [];
  // A device may have been released since this transaction began: no lease starts before the one before it has ended.
  let startsAt = facts.now;
  while (plan.undecided() > 0) {
    for (const wanted of plan.sort()) {
      const { devices, awaited } = await pickUnawaited(tx, wanted, wanted.members.length, taken, strategy.type);
      for (const { freeSince } of devices) if (freeSince > startsAt) startsAt = freeSince;
      const { unmet, spare } = plan.place(wanted.members, devices);
      taken.push(...devices.filter((device) => !spare.includes(device)).map((device) => device.id));
      if (unmet.length === 0) continue;
      plan.settle(unmet, await readShortage(tx, wanted, [...taken, ...awaited], unmet.length), awaited.length > 0);
    }
  }
  faultPoint('grant.5');
  const order = group.map(({ request }) => request.requestId);
  const decisions = batch === undefined ? plan.decisions() : decideBatch(order, plan.decisions(), batch);
  const outcomes = await commitGrants(tx, group, decisions, facts.existing, strategy, startsAt);
  const settled = [...decisions].flatMap(([requestId, decision]) => (decision.kind === 'settled' ? [requestId] : []));
  for (const outcome of await readOutcomes(tx, settled)) outcomes.set(outcome.requestId, outcome);
  faultPoint('grant.6');
  return outcomes;
}

/** Waits for devices that another group looks at in passing: they are promised to these requests. Users are locked before, so nobody waits in a ring. */
async function lockMatched(tx: Transaction, matched: Matched): Promise<void> {
  if (matched.size === 0) return;
  await tx.$queryRaw`SELECT count(*) FROM (SELECT FROM devices WHERE id = ANY(${[...matched.values()]}::uuid[]) ORDER BY id FOR UPDATE) locked`;
}
