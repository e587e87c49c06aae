import type { Cluster, Redis } from 'ioredis';
import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { BreakerState } from './breaker.ts';
import { NEIGHBOURS, type Neighbour } from './neighbour.ts';

/** Told of every change of the breaker of a neighbour. */
export type BreakerWatcher = (neighbour: Neighbour['name'], state: BreakerState) => void;

/** The worst that was said of each neighbour lately. */
export type NeighbourStates = Readonly<Record<Neighbour['name'], BreakerState | 'unknown'>>;

/** How long a word about a breaker holds, ms: twice the time one stays open, so that a process that died is forgotten. */
const LIFE_MS = 60_000;

const NAMES = Object.values(NEIGHBOURS).map(({ name }) => name);
const keyOf = (prefix: string, neighbour: Neighbour['name']) => `${prefix}:breaker:${neighbour}`;

/**
 * Breakers are a process's own; this lets others see them. The last word of any process counts: all of them ask the same
 * neighbour. For people only, nothing is decided by it, so a word that gets lost is logged and no more.
 */
export function createBreakerBoard(redis: Redis | Cluster, prefix: string, logger: Logger): BreakerWatcher {
  return (neighbour, state) => {
    const key = keyOf(prefix, neighbour);
    const said = state === 'closed' ? redis.del(key) : redis.set(key, state, 'PX', LIFE_MS);
    said.catch((error: unknown) => logger.warn({ neighbour, state, reason: messageOf(error) }, 'the state of a breaker could not be told'));
  };
}

/** What the processes said of their breakers; a neighbour nobody complains of is `closed`. Rejects when Redis is away. */
export async function readBreakerBoard(redis: Redis | Cluster, prefix: string): Promise<NeighbourStates> {
  const words = await redis.mget(NAMES.map((name) => keyOf(prefix, name)));
  return statesOf((index) => stateOf(words[index] ?? null));
}

/** What is known of the neighbours when nobody can be asked. */
export const NOTHING_KNOWN: NeighbourStates = statesOf(() => 'unknown');

function statesOf(state: (index: number) => BreakerState | 'unknown'): NeighbourStates {
  return Object.fromEntries(NAMES.map((name, index) => [name, state(index)])) as NeighbourStates;
}

function stateOf(word: string | null): BreakerState {
  return word === 'open' || word === 'half-open' ? word : 'closed';
}
