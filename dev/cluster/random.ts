/** Numbers that look like chance and are the same for the same seed. */
export interface Random {
  /** 0 up to, not including, 1. */
  next(): number;
  /** A whole number from 0 up to, not including, `limit`. */
  below(limit: number): number;
  pick<T>(from: readonly [T, ...T[]]): T;
  /** True with this chance, 0..1. */
  chance(share: number): boolean;
  /** Exponentially distributed with this mean: how long things last when they may end at any moment. */
  around(mean: number): number;
}

/** Mulberry32, Tommy Ettinger: 32 bits of state, good enough to make up a load. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    next,
    below,
    pick: (from) => from[below(from.length)] ?? from[0],
    chance: (share) => next() < share,
    around: (mean) => -mean * Math.log(1 - next()),
  };
}
