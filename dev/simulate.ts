import { parseArgs } from 'node:util';
import { defaultStrategy, STRATEGY_TYPES } from '../shared/placement/strategy.ts';
import type { SimulatedRequest } from '../shared/simulation/recorded.ts';
import { simulate } from '../shared/simulation/simulate.ts';
import { makeFleet } from './cluster/fleet.ts';
import { comparison } from './simulate/comparison.ts';
import { placeable } from './simulate/placeable.ts';
import { recordedFrom } from './simulate/recorded-from.ts';
import { readTrace } from './trace/read-trace.ts';

const USAGE = 'npm run simulate -- --trace FILE [--devices N] [--limit N] [--wait MINUTES] [--seed N]';
const DEVICES = 200;
const REQUESTS = 5_000;

await main(process.argv.slice(2));

/** Replays a recording against every strategy and prints what each would have made of it. */
async function main(words: readonly string[]): Promise<void> {
  try {
    const options = readOptions(words);
    const { requests, problems } = await read(options);
    if (requests.length === 0) throw new Error(`${options.trace} has no request`);
    const fleet = [...makeFleet(options.devices, options.seed)].map(placeable);
    const results = STRATEGY_TYPES.map((type) => simulate(fleet, requests, defaultStrategy(type)));
    const left = problems === 0 ? '' : `, ${problems} lines are no requests`;
    console.log(
      `${requests.length} requests of ${options.trace}${left}, a made-up fleet of ${fleet.length} devices (seed ${options.seed})\n`,
    );
    console.log(comparison(results));
  } catch (error) {
    console.error(`simulate: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

interface Options {
  readonly trace: string;
  readonly devices: number;
  readonly limit: number;
  /** How long whoever finds no device waits, minutes; 0: not at all. */
  readonly waitMinutes: number;
  readonly seed: number;
}

function readOptions(words: readonly string[]): Options {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ args: [...words], options: { trace: text, devices: text, limit: text, wait: text, seed: text } });
  const { trace } = values;
  if (trace === undefined) throw new Error(`a recording is needed\n${USAGE}`);
  return {
    trace,
    devices: whole('--devices', values.devices, DEVICES, 1),
    limit: whole('--limit', values.limit, REQUESTS, 1),
    waitMinutes: whole('--wait', values.wait, 30, 0),
    seed: whole('--seed', values.seed, 1, 0),
  };
}

function whole(name: string, word: string | undefined, otherwise: number, least: number): number {
  if (word === undefined) return otherwise;
  const number = Number(word);
  if (!/^\d{1,9}$/.test(word) || number < least) throw new Error(`${name} must be a whole number from ${least}, it is ${word}\n${USAGE}`);
  return number;
}

async function read({ trace, limit, waitMinutes }: Options): Promise<{ requests: SimulatedRequest[]; problems: number }> {
  const requests: SimulatedRequest[] = [];
  let problems = 0;
  for await (const entry of readTrace(trace, limit)) {
    if (entry.kind === 'problem') problems += 1;
    else requests.push(recordedFrom(entry.request, waitMinutes));
  }
  return { requests, problems };
}
