// npm run bench [-- name …] [--rounds N] [--quick]: measures against references in the same run and prints a table each.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readConfig } from '../shared/read-config.ts';
import { available } from './available.ts';
import { contention } from './contention.ts';
import { expiry } from './expiry.ts';
import { fairness } from './fairness.ts';
import { flood } from './flood.ts';
import { importing } from './import.ts';
import { latency } from './latency.ts';
import { memory } from './memory.ts';
import { plans } from './plans.ts';
import { queries } from './queries.ts';
import { release } from './release.ts';
import { keepResults, tableOf } from './report.ts';
import { scaleOut } from './scale-out.ts';
import type { BenchServers, Scenario } from './scenario.ts';
import { throughput } from './throughput.ts';
import { waitlist } from './waitlist.ts';

const SCENARIOS: readonly Scenario[] = [
  throughput,
  latency,
  release,
  contention,
  available,
  importing,
  queries,
  plans,
  expiry,
  waitlist,
  fairness,
  memory,
  flood,
  scaleOut,
];
const ROUNDS = 5;
const QUICK_ROUNDS = 2;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const unknown = positionals.filter((name) => SCENARIOS.every((scenario) => scenario.name !== name));
const rounds = Number(values.rounds ?? (values.quick ? QUICK_ROUNDS : ROUNDS));
if (values.help || unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) {
  usage(unknown);
} else {
  await runAll(positionals, rounds, values.quick);
}
// Libraries that were measured keep timers of their own; everything of ours is closed by now.
process.exit();

function usage(wrong: readonly string[]): void {
  if (wrong.length > 0) process.stderr.write(`There is no benchmark ${wrong.join(', ')}.\n`);
  process.stdout.write('npm run bench [-- name …] [--rounds N] [--quick]\n\n');
  for (const { name, about } of SCENARIOS) process.stdout.write(`  ${name.padEnd(12)}${about}\n`);
  process.stdout.write(`\n  --rounds N  measurements of each side, ${ROUNDS} by default\n`);
  process.stdout.write('  --quick     a small run that shows that everything works; nothing is kept\n');
  process.exitCode = values.help ? 0 : 1;
}

async function runAll(names: readonly string[], rounds: number, quick: boolean): Promise<void> {
  const servers = readServers();
  for (const { name, about, run } of SCENARIOS.filter((scenario) => names.length === 0 || names.includes(scenario.name))) {
    process.stderr.write(`\n${name}: ${about}\n`);
    const began = Date.now();
    const say = (line: string) => process.stderr.write(`  ${String(Math.round((Date.now() - began) / 1_000)).padStart(4)} s  ${line}\n`);
    const figures = await run({ rounds, quick, servers, say });
    process.stdout.write(`\n${name}\n${tableOf(figures)}\n`);
    if (!quick) say(`kept in ${await keepResults(fileURLToPath(new URL('results', import.meta.url)), name, rounds, figures)}`);
  }
}

function readServers(): BenchServers {
  const config = readConfig();
  return {
    databaseUrl: config.DATABASE_URL,
    redisUrl: config.REDIS_URL,
    redisClusterNodes: config.REDIS_CLUSTER_NODES,
    rabbitmqUrl: config.RABBITMQ_URL,
    userSecret: config.JWT_SECRET,
    serviceSecret: config.SERVICE_TOKEN_SECRET,
  };
}
