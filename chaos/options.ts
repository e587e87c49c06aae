import { parseArgs } from 'node:util';

/** What the command line asks for. */
export interface ChaosOptions {
  /** Faults, or beginnings of their names; none: all of them. */
  readonly names: readonly string[];
  /** Random faults until so much time is over; undefined: each once. */
  readonly minutes: number | undefined;
  readonly seed: number;
  readonly list: boolean;
}

const USAGE = 'npm run chaos [-- [name …] [--minutes N] [--seed N] [--list]]';

/** @throws Error with one sentence and the usage when the words do not fit */
export function readChaosOptions(words: readonly string[]): ChaosOptions {
  const { values, positionals } = parse(words);
  return {
    names: positionals,
    minutes: above0('--minutes', values.minutes),
    seed: above0('--seed', values.seed) ?? 1 + Math.floor(Math.random() * 1_000_000),
    list: values.list === true,
  };
}

function parse(words: readonly string[]) {
  const options = { minutes: { type: 'string' }, seed: { type: 'string' }, list: { type: 'boolean' } } as const;
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true });
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`, { cause: error });
  }
}

function above0(name: string, word: string | undefined): number | undefined {
  if (word === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(word)) throw new Error(`${name} must be a whole number from 1, it is ${word}\n${USAGE}`);
  return Number(word);
}
