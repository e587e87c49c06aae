import type { CapacityChange } from '../../queues/capacity-signal.ts';
import type { OutagePolicy } from '../../shared/allocation/facts.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { Strategy } from '../../shared/placement/strategy.ts';
import type { EndedAllocation, Ending } from '../../shared/store/end-allocations.ts';
import type { StartOutcome } from '../../shared/store/start-reservation.ts';
import { EXPIRE, endNoShows, REMIND, upSince } from '../../shared/store/sweep-reservations.ts';
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
  const freed: EndedAllocation[] = [];
  const handedOver: string[] = [];
  const count = (change: string, by: number) => metrics.reservations.inc({ change }, by);
  const expired = await sweep(parts, EXPIRE, signal);
  const noShow = endNoShows({
    afterSeconds: noShowSeconds,
    upSince: since,
    ending,
    onEnded: (ended) => {
      metrics.allocationsEnded.inc({ reason: 'no_show' }, ended.length);
      freed.push(...ended);
    },
  });
  const noShows = noShowSeconds === 0 ? 0 : await sweep(parts, noShow, signal);
  const policy = { ...parts.policy, strategy: parts.strategy(), ending, patienceSeconds: noShowSeconds, upSince: since };
  const onOutcome = (outcome: StartOutcome) => {
    count(outcome.kind, 1);
    if (outcome.kind === 'handed-over') handedOver.push(outcome.queueId);
  };
  const started = await startDue({ ...parts, policy, onOutcome }, signal);
  const reminded = await sweep(parts, REMIND, signal);
  count('expired', expired);
  count('reminded', reminded);
  count('no-show', noShows);
  if (expired + noShows + started + reminded + handedOver.length > 0) {
    const devices = freed.map(({ deviceId }) => deviceId);
    await parts.announce({ devices, allocations: freed.map(({ allocationId }) => allocationId), requests: handedOver });
    faultPoint('start.7');
  }
  return { expired, noShows, started, reminded, upSince: since.toISOString() };
}
