// npm run demo: the whole product under load on this machine, with a killed worker, and a check of everything at the end.
import { setMaxListeners } from 'node:events';
import { readEnvironment } from '../shared/config-files.ts';
import { messageOf } from '../shared/errors.ts';
import { readConfig } from '../shared/read-config.ts';
import type { Cluster } from './cluster/start-cluster.ts';
import { onStopSignals } from './cluster/stop-signals.ts';
import { type DemoOptions, readDemoOptions } from './demo/options.ts';
import { runDemo } from './demo/run-demo.ts';

const say = (text: string) => void process.stdout.write(`${text}\n`);
const stopping = new AbortController();
// Every lease that is being held listens for it: thousands, and no leak.
setMaxListeners(0, stopping.signal);
let cluster: Cluster | undefined;
let code = 1;

onStopSignals(
  () => void end(),
  () => process.exit(1),
);
await run(optionsFrom(process.argv.slice(2)));

async function run(options: DemoOptions): Promise<void> {
  try {
    const config = readConfig();
    const onCluster = (started: Cluster) => {
      cluster = started;
    };
    const holds = await runDemo({ options, config, said: readEnvironment(), out: process.stdout, stopping: stopping.signal, onCluster });
    code = holds ? 0 : 1;
    say(holds ? '\neverything holds' : '\nNOT everything holds: see what is BROKEN above');
  } catch (error) {
    if (stopping.signal.aborted) return;
    say(`\nthe demo failed: ${messageOf(error)}`);
    await end();
  }
  if (options.keep) say('still up; Ctrl-C stops everything');
  else await end();
}

function optionsFrom(words: readonly string[]): DemoOptions {
  try {
    return readDemoOptions(words);
  } catch (error) {
    say(messageOf(error));
    process.exit(2);
  }
}

/** Stops the cluster and exits with the result. */
async function end(): Promise<void> {
  stopping.abort();
  await cluster?.stop();
  process.exit(code);
}
