import type { CapacityChange } from '../../queues/capacity-signal.ts';
import type { OutagePolicy } from '../../shared/allocation/facts.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { Strategy } from '../../shared/placement/strategy.ts';
import type { EndedAllocation, Ending } from '../../shared/store/end-allocations.ts';
import type { Start } from '../../shared/store/start-reservation.ts';
import { endNoShows, expireUnbegun, REMIND, upSince } from '../../shared/store/sweep-reservations.ts';
import { type StartParts, startDue } from './start-due.ts';
import { sweep } from './sweep.ts';

export interface TickParts extends Omit<StartParts, 'policy' | 'onOutcome'> {
  /** The name its runs are noted under. */
  readonly job: string;
  readonly policy: OutagePolicy;
  readonly strategy: () => Strategy;
  readonly ending: Ending;
  /** How long a started reservation waits for its holder, s; 0: for ever. */
  readonly noShowSeconds: number;
  readonly metrics: Metrics;
  /** Tells the other processes what has changed. */
  readonly announce: (change: CapacityChange) => Promise<void>;
}

/** What one tick did. `upSince`: since when ticks came without a break. */
export type TickResult = {
  readonly expired: number;
  readonly noShows: number;
  readonly started: number;
  readonly reminded: number;
  readonly upSince: string;
};

/**
 * One look at all reservations, ends before starts: what is over is ended, so that what begins finds its device free. Everything
 * that is due is done, however long nobody looked. Two looks at once do nothing twice: rows are locked, and each write names the
 * state it expects.
 */
export async function tick(parts: TickParts, signal: AbortSignal): Promise<TickResult> {
  const { store, metrics, ending, noShowSeconds } = parts;
  const since = await upSince(store, parts.job);
  const freed = { devices: [] as string[], allocations: [] as string[], requests: [] as string[] };
  const count = (change: string, by: number) => metrics.reservations.inc({ change }, by);
  const onEnded = (ended: readonly EndedAllocation[]) => {
    for (const { allocationId, deviceId, endReason } of ended) {
      metrics.allocationsEnded.inc({ reason: endReason });
      freed.devices.push(deviceId);
      freed.allocations.push(allocationId);
    }
  };
  const unbegun = expireUnbegun((deviceIds) => freed.devices.push(...deviceIds));
  const expired = await sweep(parts, unbegun, signal);
  const noShow = endNoShows({
    afterSeconds: noShowSeconds,
    upSince: since,
    ending,
    onEnded,
  });
  const noShows = noShowSeconds === 0 ? 0 : await sweep(parts, noShow, signal);
  const policy = { ...parts.policy, strategy: parts.strategy(), ending, patienceSeconds: noShowSeconds, upSince: since };
  let dealtWith = 0;
  const onOutcome = (outcome: Start) => {
    count(outcome.kind, 1);
    if (outcome.kind !== 'passed') dealtWith += 1;
    if (outcome.kind === 'handed-over') freed.requests.push(outcome.queueId);
    if (outcome.left !== null) freed.devices.push(outcome.left);
    onEnded(outcome.ended);
  };
  const started = await startDue({ ...parts, policy, onOutcome }, signal);
  const reminded = await sweep(parts, REMIND, signal);
  count('expired', expired);
  count('reminded', reminded);
  count('no-show', noShows);
  if (expired + noShows + dealtWith + reminded > 0) {
    await parts.announce(freed);
    faultPoint('start.7');
  }
  return { expired, noShows, started, reminded, upSince: since.toISOString() };
}
