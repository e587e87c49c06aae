// npm start: the whole product on this machine, in the foreground until Ctrl-C. A process that dies is replaced.
import { signToken } from '../cli/token.ts';
import type { Config } from '../shared/config.ts';
import { readEnvironment } from '../shared/config-files.ts';
import { messageOf } from '../shared/errors.ts';
import { readConfig } from '../shared/read-config.ts';
import { clusterEnvironment } from './cluster/environment.ts';
import { hasDevices } from './cluster/has-devices.ts';
import { importFleet } from './cluster/import-fleet.ts';
import { formatLogLine } from './cluster/log-line.ts';
import { startCluster } from './cluster/start-cluster.ts';
import { onStopSignals } from './cluster/stop-signals.ts';
import type { ProcessEvent } from './cluster/supervise.ts';

const FLEET = 1_000;
const SEED = 1;
const NAME_WIDTH = 11;

const say = (text: string) => void process.stdout.write(`${text}\n`);
let stopping = false;
let stopCluster = () => Promise.resolve();
onStopSignals(
  () => void stop(),
  // Our end closes their channels; who has been asked to stop already then ends at once as well.
  () => process.exit(1),
);
const config = readConfig();
const { env, standIns, notes } = await clusterEnvironment(readEnvironment(), config);
for (const note of notes) say(note);

const cluster = await startCluster({
  env: { ...env, METRICS_PORT: String(config.METRICS_PORT) },
  ...(standIns === undefined ? {} : { standIns }),
  stopWithinMs: (config.SHUTDOWN_TIMEOUT + 2) * 1_000,
  onLine: (line) => say(formatLogLine(line, NAME_WIDTH, process.stdout.isTTY && !process.env['NO_COLOR'])),
  onEvent: (event) => sayEvent(event),
});
stopCluster = cluster.stop;
if (stopping) await stop();
else await present(config);

/** Stops everything this command started, in order. */
async function stop(): Promise<void> {
  stopping = true;
  say('stopping …');
  await stopCluster();
  say('everything has stopped');
  process.exit(0);
}

function sayEvent(event: ProcessEvent): void {
  if (stopping) return;
  if (event.kind === 'died') say(`${event.name.padEnd(NAME_WIDTH)} │ died (${event.how}); a new one starts in ${event.pauseMs} ms`);
  else if (event.downMs !== undefined)
    say(`${event.name.padEnd(NAME_WIDTH)} │ replaced after ${Math.round(event.downMs)} ms, process ${event.pid}`);
}

/** Makes sure that there is something to allocate, then says where everything is. */
async function present({ DATABASE_URL, DASHBOARD_USER, NODE_ENV, JWT_SECRET, SERVICE_TOKEN_SECRET }: Config): Promise<void> {
  const notReady = await cluster.ready;
  const { addresses } = cluster;
  const secrets = { userSecret: JWT_SECRET, serviceSecret: SERVICE_TOKEN_SECRET };
  if (stopping) return;
  if (notReady.length > 0) say(`not up yet: ${notReady.join(', ')}; see the log above`);
  try {
    if (NODE_ENV !== 'production' && !(await hasDevices(DATABASE_URL))) {
      const { created } = await importFleet(addresses.api, FLEET, SEED, secrets);
      say(`the fleet was empty: ${created} devices loaded`);
    }
  } catch (error) {
    say(`the fleet could not be loaded: ${messageOf(error)}`);
  }
  say(`
  API        ${addresses.api}/docs
  dashboard  ${addresses.dashboard}  (${DASHBOARD_USER}, password: DASHBOARD_PASSWORD in the environment or .services/env)
`);
  if (NODE_ENV === 'production') return;
  const token = await signToken({ user: 'alice', expiresIn: '86400' }, secrets);
  say(`  a device for an hour:

curl -s -X POST ${addresses.api}/scheduler/devices/allocate -H 'content-type: application/json' -H 'authorization: Bearer ${token}' -d '{"userId":"alice","durationMinutes":60}'

  Ctrl-C stops everything`);
}
