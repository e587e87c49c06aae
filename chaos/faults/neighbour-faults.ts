import type { Fault } from '../../dev/stand-ins/faults.ts';
import type { ChaosFault } from '../fault.ts';

const NEIGHBOURS = ['user', 'billing', 'notification'] as const;
const LASTS_MS = 6_000;
/** Above the limit of every call. */
const SLOW_MS = 12_000;

const KINDS: Readonly<Record<string, readonly [says: string, fault: Fault | 'refuse']>> = {
  refused: ['refuses connections', 'refuse'],
  500: ['answers 500', { kind: 'status', status: 500 }],
  429: ['answers 429 with Retry-After', { kind: 'status', status: 429, retryAfter: 2 }],
  slow: ['answers later than anybody waits', { kind: 'slow', ms: SLOW_MS }],
  hanging: ['takes calls and never answers', { kind: 'hang' }],
  malformed: ['answers what is no JSON', { kind: 'malformed' }],
  'wrong-shape': ['answers JSON of another shape', { kind: 'wrong-shape' }],
  'lost-answer': ['does what it is asked for, and the answer is lost', { kind: 'lost-answer' }],
};

/** Each neighbour, misbehaving in each way. */
export const NEIGHBOUR_FAULTS: readonly ChaosFault[] = NEIGHBOURS.flatMap((name) =>
  Object.entries(KINDS).map(
    ([kind, [says, fault]]): ChaosFault => ({
      name: `${name}-${kind}`,
      says: `the ${name}-service ${says}`,
      lastsMs: LASTS_MS,
      early: true,
      ...(name === 'notification' ? { sparesTime: true } : {}),
      strike: ({ standIns }) => (fault === 'refuse' ? standIns[name].control.refuse() : standIns[name].control.fail(fault)),
      // Who refuses sees nobody, so it is tried.
      evidence: ({ standIns }) => (fault === 'refuse' ? refusals(standIns[name].url) : standIns[name].control.calls.count()),
      undo: ({ standIns }) => (fault === 'refuse' ? standIns[name].control.accept() : standIns[name].control.heal()),
    }),
  ),
);

async function refusals(url: string): Promise<number> {
  const answered = await fetch(url, { method: 'HEAD' }).catch(() => undefined);
  return answered === undefined ? 1 : 0;
}
