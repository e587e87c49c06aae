import { signToken } from '../../cli/token.ts';
import type { Config } from '../../shared/config.ts';
import { importFleet } from '../cluster/import-fleet.ts';
import { type Cluster, startCluster } from '../cluster/start-cluster.ts';
import { takeBatch } from './batches.ts';
import { bookAhead } from './bookings.ts';
import { checkStore } from './check-store.ts';
import { type ClusterLog, openClusterLog } from './cluster-log.ts';
import { compareOutcome, standInSummary } from './compare.ts';
import { type DemoPlace, makeDemoPlace } from './demo-place.ts';
import { drive } from './drive.ts';
import { countEvents, type EventCounter } from './event-counter.ts';
import { openLedgerView } from './ledger-view.ts';
import { openWays } from './open-ways.ts';
import type { DemoOptions } from './options.ts';
import { type PreparedLoad, prepareLoad } from './prepare-load.ts';
import { type Progress, showProgress } from './progress.ts';
import { createServiceCall } from './service-call.ts';
import { setAccounts } from './set-accounts.ts';
import { settle } from './settle.ts';
import { summarise } from './summary.ts';
import { createTally, type Tally } from './tally.ts';
import { type DeathWatch, watchDeaths } from './watch-deaths.ts';

/** Two decide, so that there is work to go on while one of them is dead. */
const COPIES = { allocation: 2 };
const KILLED = 'allocation-1';
/** The worker is killed after this share of the requests. */
const KILL_AFTER = 0.4;
const REPLACED_WITHIN_MS = 60_000;

export interface DemoRun {
  readonly options: DemoOptions;
  readonly config: Config;
  /** Variables set by a person or in a file. */
  readonly said: Readonly<Record<string, string | undefined>>;
  readonly out: NodeJS.WriteStream;
  readonly stopping: AbortSignal;
  /** Hands out the way to end the cluster as soon as there is one. */
  readonly onCluster: (cluster: Cluster) => void;
}

/** Everything that is up while the load runs. */
interface Stage {
  readonly place: DemoPlace;
  readonly cluster: Cluster;
  readonly log: ClusterLog;
  readonly deaths: DeathWatch;
  readonly tally: Tally;
  readonly progress: Progress;
  readonly events: EventCounter | undefined;
}

/**
 * The whole demo: a place of its own, the cluster, the load, a killed worker, and the comparison of everything with
 * everything.
 *
 * @returns whether all of it holds
 */
export async function runDemo(run: DemoRun): Promise<boolean> {
  const say = (text: string) => void run.out.write(`${text}\n`);
  const prepared = await prepareLoad(run.options);
  for (const line of prepared.words) say(line);
  const up = await bringUp(run, say);
  const { config } = run;
  const tally = createTally();
  const progress = showProgress(tally, prepared.requests, run.out);
  const events = config.RABBITMQ_URL === '' ? undefined : await countEvents(config.RABBITMQ_URL);
  const stage = { ...up, tally, progress, events };
  up.deaths.begin(progress.note);
  const startedAt = performance.now();
  await send(run, stage, prepared);
  const holds = await conclude(run, stage, startedAt, say);
  if (!run.options.keep) await up.place.leave();
  return holds;
}

/** The cluster in its place, every process answering, with a fleet. */
async function bringUp({ options, config, said, onCluster }: DemoRun, say: (text: string) => void) {
  say('making a database and a corner of Redis for this run …');
  const isTrace = options.trace !== undefined;
  const place = await makeDemoPlace(said, config, isTrace ? { RATE_LIMIT_SERVICE_FACTOR: '1000000' } : {});
  const log = openClusterLog(place.logFile);
  const deaths = watchDeaths(KILLED);
  const cluster = await startCluster({
    env: place.env,
    copies: COPIES,
    standIns: place.standIns,
    stopWithinMs: (config.SHUTDOWN_TIMEOUT + 2) * 1_000,
    onLine: log.take,
    onEvent: deaths.hear,
  });
  onCluster(cluster);
  say(`starting ${cluster.processes.length} processes; their log is ${place.logFile} …`);
  const notReady = await cluster.ready;
  if (notReady.length > 0) throw new Error(`${notReady.join(', ')} did not come up:\n${log.problems.slice(-20).join('\n')}`);
  const secrets = { userSecret: config.JWT_SECRET, serviceSecret: config.SERVICE_TOKEN_SECRET };
  const { created } = await importFleet(cluster.addresses.api, options.devices, options.seed, secrets);
  say(`${created} devices imported over HTTP; dashboard: ${cluster.addresses.dashboard} (${config.DASHBOARD_USER})`);
  if (!isTrace) await setAccounts(place);
  return { place, cluster, log, deaths };
}

/** Sends the load and sees it through; a worker is killed on the way. */
async function send({ options, config, stopping }: DemoRun, stage: Stage, { load, requests }: PreparedLoad): Promise<void> {
  const { cluster, place, tally, progress } = stage;
  const ways = openWays({ api: cluster.addresses.api, place, config, tally, asService: options.trace !== undefined });
  progress.phase('sending ');
  const killAt = Math.floor(requests * KILL_AFTER);
  const onSend = (sent: number) => {
    if (sent === killAt) cluster.kill(KILLED);
    if (sent === requests - 1) progress.phase('draining');
  };
  const call = await serviceCall(config, cluster, tally);
  const beside = options.trace === undefined ? [bookAhead, takeBatch] : [];
  await Promise.all([
    drive({ load, ways, tally, onSend, stopping }),
    ...beside.map((errand) => errand(call, tally, options.seed, stopping)),
  ]);
  await Promise.all(Object.values(ways).map((way) => way.close()));
}

async function serviceCall(config: Config, { addresses }: Cluster, tally: Tally) {
  const secrets = { userSecret: config.JWT_SECRET, serviceSecret: config.SERVICE_TOKEN_SECRET };
  const headers = { 'x-service-token': await signToken({ service: 'demo', expiresIn: '7200' }, secrets) };
  return createServiceCall(addresses.api, headers, () => {
    tally.retries += 1;
  });
}

/** Waits until everything has left, compares, and prints the summary. */
async function conclude({ options, config }: DemoRun, stage: Stage, startedAt: number, say: (text: string) => void): Promise<boolean> {
  const { place, cluster, log, deaths, tally, progress, events } = stage;
  const view = await openLedgerView(place.databaseUrl);
  const backlog = await settle(view, events, (left) => progress.phase(`settling: ${left}`));
  const downMs = await deaths.replaced(REPLACED_WITHIN_MS);
  progress.phase('checking');
  const invariants = await checkStore(place.databaseUrl, config);
  const standIns = standInSummary.parse(await (await fetch(cluster.addresses.standIns ?? '')).json());
  const outcome = { tally, figures: await view.figures(), backlog, standIns, events, replaced: downMs !== undefined };
  const findings = [...invariants, ...compareOutcome(outcome)];
  progress.stop();
  deaths.begin(say);
  const seconds = (performance.now() - startedAt) / 1_000;
  const facts = {
    seconds,
    devices: options.devices,
    killed: { name: KILLED, downMs },
    warnings: log.problems.length,
    logFile: place.logFile,
  };
  say(`\n${summarise(outcome, findings, facts)}\n\ndashboard  ${cluster.addresses.dashboard}`);
  await Promise.all([events?.close(), view.close()]);
  return findings.every(({ ok }) => ok);
}
