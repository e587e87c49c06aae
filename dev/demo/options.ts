import { parseArgs } from 'node:util';

/** What the command line asks for. */
export interface DemoOptions {
  /** Stay up after the summary until Ctrl-C. */
  readonly keep: boolean;
  readonly seed: number;
  readonly devices: number;
  /** Most requests sent. */
  readonly limit: number;
  /** A recording to replay instead of the made-up load. */
  readonly trace: string | undefined;
  /** Seconds of the recording that pass in one second; chosen to fit when left out. */
  readonly speed: number | undefined;
}

const USAGE = 'npm run demo [-- [--keep] [--seed N] [--devices N] [--limit N] [--trace FILE [--speed N]]]';

const DEVICES = 1_000;
const TRACE_DEVICES = 2_000;
const REQUESTS = 5_000;

/** @throws Error with one sentence and the usage when the words do not fit */
export function readDemoOptions(words: readonly string[]): DemoOptions {
  const { trace, keep, ...numbers } = parse(words);
  const isTrace = trace !== undefined;
  if (!isTrace && numbers.speed !== undefined) throw new Error(`--speed is for --trace\n${USAGE}`);
  return {
    keep: keep === true,
    trace,
    seed: whole('--seed', numbers.seed) ?? Math.floor(Math.random() * 1_000_000),
    devices: whole('--devices', numbers.devices) ?? (isTrace ? TRACE_DEVICES : DEVICES),
    limit: whole('--limit', numbers.limit) ?? (isTrace ? Number.POSITIVE_INFINITY : REQUESTS),
    speed: above0('--speed', numbers.speed),
  };
}

function parse(words: readonly string[]) {
  const text = { type: 'string' } as const;
  try {
    const options = { keep: { type: 'boolean' }, seed: text, devices: text, limit: text, trace: text, speed: text } as const;
    return parseArgs({ args: [...words], options }).values;
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`, { cause: error });
  }
}

function whole(name: string, word: string | undefined): number | undefined {
  if (word === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(word)) throw new Error(`${name} must be a whole number from 1, it is ${word}\n${USAGE}`);
  return Number(word);
}

function above0(name: string, word: string | undefined): number | undefined {
  if (word === undefined) return undefined;
  const number = Number(word);
  if (!(number > 0 && Number.isFinite(number))) throw new Error(`${name} must be a number above 0, it is ${word}\n${USAGE}`);
  return number;
}
