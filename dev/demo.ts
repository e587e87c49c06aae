// npm run demo: the whole product under load on this machine, with a killed worker, and a check of everything at the end.
import { setMaxListeners } from 'node:events';
import { readEnvironment } from '../shared/config-files.ts';
import { messageOf } from '../shared/errors.ts';
import { readConfig } from '../shared/read-config.ts';
import type { Cluster } from './cluster/start-cluster.ts';
import { onStopSignals } from './cluster/stop-signals.ts';
import { howToLogIn } from './demo/how-to-log-in.ts';
import { type DemoOptions, readDemoOptions } from './demo/options.ts';
import { paperOf, verdict } from './demo/paper.ts';
import { runDemo } from './demo/run-demo.ts';

const say = (text: string) => void process.stdout.write(`${text}\n`);
const stopping = new AbortController();
// Every lease that is being held listens for it: thousands, and no leak.
setMaxListeners(0, stopping.signal);
let cluster: Cluster | undefined;
let code = 1;

onStopSignals(
  () => {
    if (!stopping.signal.aborted) say('\nstopping …');
    void end();
  },
  () => process.exit(1),
);
await run(optionsFrom(process.argv.slice(2)));

async function run(options: DemoOptions): Promise<void> {
  try {
    const config = readConfig();
    const onCluster = (started: Cluster) => {
      cluster = started;
    };
    const { stdout: out } = process;
    const paper = paperOf(out, Boolean(process.env['NO_COLOR']));
    const { broken, checks } = await runDemo({
      ...{ options, config, said: readEnvironment(), out, paper, stopping: stopping.signal, onCluster },
    });
    code = broken.length === 0 ? 0 : 1;
    say(`\n${verdict(broken, checks, paper)}`);
    sayWhereItIs(options, config.DASHBOARD_USER);
  } catch (error) {
    if (stopping.signal.aborted) return;
    say(`\nthe demo failed: ${messageOf(error)}`);
    await end();
  }
  if (!options.keep) await end();
}

function sayWhereItIs({ keep }: DemoOptions, user: string): void {
  if (!keep || cluster === undefined) {
    say('Stopping everything. To look around in it, leave it up: npm run demo -- --keep');
    return;
  }
  const { api, dashboard } = cluster.addresses;
  say(`Still up, until Ctrl-C:
  dashboard  ${dashboard}  (${howToLogIn(user, process.env)})
  API        ${api}/docs`);
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
