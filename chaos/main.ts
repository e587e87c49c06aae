// npm run chaos: the product on servers of its own, under load, and what can go wrong with it; then the check of everything.
import { createRandom } from '../dev/cluster/random.ts';
import { onStopSignals } from '../dev/cluster/stop-signals.ts';
import { messageOf } from '../shared/errors.ts';
import type { ChaosFault } from './fault.ts';
import { FAULTS, faultsNamed, oneOfEach } from './faults.ts';
import { type ChaosOptions, readChaosOptions } from './options.ts';
import { broken, holds, table } from './report.ts';
import { type RoundResult, runRound } from './round.ts';
import { openStage, type Stage } from './stage.ts';

const SIZE = { requests: 160, spanMs: 8_000, patienceMs: 120_000 };
const DEVICES = 40;
const LOG_FILE = '.services/chaos.log';
const NAME_WIDTH = 26;

const say = (text: string) => void process.stdout.write(`${text}\n`);
let stage: Stage | undefined;
let stopping = false;
onStopSignals(
  () => {
    stopping = true;
    say('stopping after this round …');
  },
  () => process.exit(1),
);

const options = optionsFrom(process.argv.slice(2));
if (options.list) for (const { name, says } of FAULTS) say(`  ${name.padEnd(NAME_WIDTH)} ${says}`);
else process.exitCode = await run(options);
process.exit();

function optionsFrom(words: readonly string[]): ChaosOptions {
  try {
    const read = readChaosOptions(words);
    faultsNamed(read.names);
    return read;
  } catch (error) {
    say(messageOf(error));
    process.exit(2);
  }
}

/** @returns the exit code: 1 when anything did not hold */
async function run({ names, minutes, seed }: ChaosOptions): Promise<0 | 1> {
  const random = createRandom(seed);
  const chosen = names.length === 0 ? (minutes === undefined ? oneOfEach(random) : FAULTS) : faultsNamed(names);
  say(`seed ${seed} (the same again with --seed ${seed}); starting Postgres, Redis, RabbitMQ and the product …`);
  const results: RoundResult[] = [];
  try {
    const until = minutes === undefined ? undefined : performance.now() + minutes * 60_000;
    for (const fault of until === undefined ? chosen : drawn(chosen, random, until)) {
      if (stopping) break;
      stage ??= await openStage({ devices: DEVICES, seed, logFile: LOG_FILE, say });
      const result = await round(stage, fault, seed + results.length);
      results.push(result);
      // What is broken stays broken: the next round begins on a stage of its own.
      if (!holds(result)) await leaveStage();
    }
  } catch (error) {
    say([`chaos itself failed: ${messageOf(error)}`, ...(stage?.problems.slice(-20) ?? [])].join('\n'));
    process.exitCode = 1;
  } finally {
    await leaveStage();
  }
  say(`\n${table(results)}\n\n${results.filter(holds).length} of ${results.length} rounds hold, seed ${seed}`);
  for (const result of results) for (const line of broken(result)) say(line);
  return process.exitCode === undefined && results.every(holds) ? 0 : 1;
}

async function leaveStage(): Promise<void> {
  const left = stage;
  stage = undefined;
  await left?.close();
}

function* drawn(faults: readonly ChaosFault[], random: ReturnType<typeof createRandom>, until: number): Generator<ChaosFault> {
  while (performance.now() < until) {
    const fault = faults[random.below(faults.length)];
    if (fault !== undefined) yield fault;
  }
}

async function round(on: Stage, fault: ChaosFault, seed: number): Promise<RoundResult> {
  say(`${fault.name.padEnd(NAME_WIDTH)} ${fault.says} …`);
  const result = await runRound(on, fault, seed, SIZE);
  say(`${' '.repeat(NAME_WIDTH)} ${holds(result) ? 'holds' : ['BROKEN', ...broken(result)].join('\n')}`);
  return result;
}
