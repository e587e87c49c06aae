import { randomUUID } from 'node:crypto';
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
const keyOf = (prefix: string, neighbour: Neighbour['name']) => `${prefix}:breakers:${neighbour}`;

/** The clock of Redis: those of the processes need not agree. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/** Notes the word of one process; ARGV its id, the state (empty: nothing to complain of), the life of the word in ms. */
const SAY = `${NOW}
if ARGV[2] == '' then return redis.call('HDEL', KEYS[1], ARGV[1]) end
redis.call('HSET', KEYS[1], ARGV[1], (now + ARGV[3]) .. ' ' .. ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])`;

/** The worst word of each neighbour that still holds; one that does not is dropped. */
const READ = `${NOW}
local worst = {}
for i, key in ipairs(KEYS) do
  worst[i] = ''
  local words = redis.call('HGETALL', key)
  for j = 1, #words, 2 do
    local ends, state = string.match(words[j + 1], '^(%S+) (%S+)$')
    if tonumber(ends) <= now then redis.call('HDEL', key, words[j])
    elseif worst[i] ~= 'open' then worst[i] = state end
  end
end
return worst`;

/**
 * Breakers are a process's own; this lets others see them. Each process speaks for itself: one whose breaker closes does not
 * take back what another complains of. For people only, nothing is decided by it, so a word that gets lost is logged and no more.
 */
export function createBreakerBoard(redis: Redis | Cluster, prefix: string, logger: Logger): BreakerWatcher {
  const process = randomUUID();
  return (neighbour, state) => {
    const said = redis.eval(SAY, 1, keyOf(prefix, neighbour), process, state === 'closed' ? '' : state, LIFE_MS);
    said.catch((error: unknown) => logger.warn({ neighbour, state, reason: messageOf(error) }, 'the state of a breaker could not be told'));
  };
}

/** What the processes said of their breakers; a neighbour nobody complains of is `closed`. Rejects when Redis is away. */
export async function readBreakerBoard(redis: Redis | Cluster, prefix: string): Promise<NeighbourStates> {
  const reply = await redis.eval(READ, NAMES.length, ...NAMES.map((name) => keyOf(prefix, name)));
  const words: readonly unknown[] = Array.isArray(reply) ? reply : [];
  return statesOf((index) => stateOf(words[index]));
}

/** What is known of the neighbours when nobody can be asked. */
export const NOTHING_KNOWN: NeighbourStates = statesOf(() => 'unknown');

function statesOf(state: (index: number) => BreakerState | 'unknown'): NeighbourStates {
  return Object.fromEntries(NAMES.map((name, index) => [name, state(index)])) as NeighbourStates;
}

function stateOf(word: unknown): BreakerState {
  return word === 'open' || word === 'half-open' ? word : 'closed';
}
