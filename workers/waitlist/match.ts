import type { MatchOutcome } from '../../queues/jobs/match.ts';
import type { BalanceFact, QuotaFact } from '../../shared/allocation/facts.ts';
import { messageOf, SchedulerError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { findFree, findFreeFor } from '../../shared/store/find-free.ts';
import { readDevices } from '../../shared/store/free-devices.ts';
import { type GrantPolicy, type GroupOutcome, grantGroup } from '../../shared/store/grant-group.ts';
import { putAside } from '../../shared/store/put-aside.ts';
import type { Store } from '../../shared/store/store.ts';
import { readWaiters, type WaitingRow } from '../../shared/store/waiters.ts';
import { type Match, matchDevices } from '../../shared/waitlist/match-devices.ts';

type Ask = { readonly deadlineMs: number; readonly traceId: string | undefined };

/** What a match needs: where the facts come from, by what policy, whom to tell. */
export interface MatchParts {
  readonly store: Store;
  readonly quotaOf: (userId: string, options: Ask) => Promise<QuotaFact>;
  readonly balanceOf: (userId: string, options: Ask) => Promise<BalanceFact>;
  readonly policy: () => GrantPolicy;
  /** Tells the callers and everybody who cares. Losing this loses no outcome: the rows hold it. */
  readonly announce: (served: readonly Served[]) => Promise<void>;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** Where to look for free devices, and how many may be given out. */
export interface MatchScope {
  readonly devices: readonly string[];
  readonly requests: readonly string[];
  readonly everywhere: boolean;
  readonly most: number;
}

/** A waiting request and what became of it. */
export interface Served {
  readonly waiter: WaitingRow;
  readonly outcome: GroupOutcome;
}

/** Longest time the facts of one request may take, ms: nobody is held up longer by somebody else's neighbour. */
const GATHER_DEADLINE_MS = 3_000;
/** Devices given out by one transaction. */
const ROUND = 50;

/**
 * Gives free devices to whoever waits for them, in the order of their ranks, until there is none that anybody who waits
 * can use: match, gather, decide and commit, and look again.
 *
 * Any number may run at once. They may match the same device or request; the row locks of the grant let one have it, and
 * the other finds it settled and matches anew.
 *
 * @throws SchedulerError STORE_UNAVAILABLE; the queue tries again
 */
export async function match(parts: MatchParts, scope: MatchScope): Promise<MatchOutcome> {
  const tried = new Set<string>();
  const fulfilled: MatchOutcome['fulfilled'][number][] = [];
  for (;;) {
    const matches = await findMatches(parts.store, scope, tried, Math.min(ROUND, scope.most - fulfilled.length));
    if (matches.length === 0) return { processed: tried.size, fulfilled };
    for (const { waiter, device } of matches) tried.add(`${waiter.requestId} ${device.id}`);
    const served = await serve(parts, matches);
    await parts.announce(served);
    for (const { outcome } of served) {
      if (outcome.status === 'granted') fulfilled.push({ queueId: outcome.requestId, ...idsOf(outcome.allocation) });
    }
  }
}

const idsOf = ({ allocationId, deviceId }: { allocationId: string; deviceId: string }) => ({ allocationId, deviceId });

async function findMatches(store: Store, scope: MatchScope, tried: ReadonlySet<string>, most: number): Promise<Match<WaitingRow>[]> {
  if (most <= 0) return [];
  const found = scope.everywhere ? await findFree(store) : await findFreeFor(store, scope.requests);
  const devices = await readDevices(store.prisma, [...new Set([...scope.devices, ...found])], 'free');
  const waiters = await readWaiters(store.prisma, devices, Math.min(devices.length, most) + tried.size);
  return matchDevices(devices, waiters, ({ waiter, device }) => !tried.has(`${waiter.requestId} ${device.id}`)).slice(0, most);
}

async function serve(parts: MatchParts, matches: readonly Match<WaitingRow>[]): Promise<Served[]> {
  const readable: Match<WaitingRow>[] = [];
  for (const one of matches) {
    if (one.waiter.unreadable === undefined) readable.push(one);
    else await passOver(parts, one, new Error(one.waiter.unreadable));
  }
  try {
    return await decide(parts, readable);
  } catch (error) {
    if (isOutage(error)) throw error;
    return decideEach(parts, readable);
  }
}

/** One of them makes the transaction fail: each gets its own, so that the others go on. */
async function decideEach(parts: MatchParts, matches: readonly Match<WaitingRow>[]): Promise<Served[]> {
  const served: Served[] = [];
  for (const one of matches) {
    try {
      served.push(...(await decide(parts, [one])));
    } catch (error) {
      if (isOutage(error)) throw error;
      await passOver(parts, one, error);
    }
  }
  return served;
}

async function passOver({ store, announce, metrics, logger }: MatchParts, { waiter }: Match<WaitingRow>, error: unknown): Promise<void> {
  const outcome = await putAside(store, waiter, messageOf(error).trim());
  if (outcome !== undefined) await announce([{ waiter, outcome }]);
  metrics.reconciled.inc({ repair: 'waiter-put-aside' });
  logger.error(
    { requestId: waiter.requestId, refused: outcome !== undefined, err: error },
    'a waiting request cannot be decided; the others go on',
  );
}

async function decide(parts: MatchParts, matches: readonly Match<WaitingRow>[]): Promise<Served[]> {
  if (matches.length === 0) return [];
  const group = await Promise.all(matches.map(({ waiter }) => gather(parts, waiter)));
  const devices = new Map(matches.map(({ waiter, device }) => [waiter.requestId, device.id]));
  const outcomes = await grantGroup(parts.store, group, parts.policy(), undefined, devices);
  return matches.flatMap(({ waiter }, position) => {
    const outcome = outcomes[position];
    return outcome === undefined ? [] : [{ waiter, outcome }];
  });
}

async function gather({ quotaOf, balanceOf }: MatchParts, { request }: WaitingRow) {
  const options = { deadlineMs: GATHER_DEADLINE_MS, traceId: request.traceId };
  const [quota, balance] = await Promise.all([quotaOf(request.userId, options), balanceOf(request.userId, options)]);
  return { request, quota, balance };
}

const isOutage = (error: unknown) => error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE';
