import { signToken } from '../../cli/token.ts';
import { SchedulerClient } from '../../queues/client.ts';
import type { Config } from '../../shared/config.ts';
import { importFleet } from '../cluster/import-fleet.ts';
import { type Cluster, startCluster } from '../cluster/start-cluster.ts';
import { checkStore } from './check-store.ts';
import { type ClusterLog, openClusterLog } from './cluster-log.ts';
import { compareOutcome, standInSummary } from './compare.ts';
import { type DemoPlace, makeDemoPlace } from './demo-place.ts';
import { drive } from './drive.ts';
import { createDesk } from './errands/desk.ts';
import { runErrands } from './errands/run-errands.ts';
import { type EventDesk, isListenedTo, openEventDesk } from './event-desk.ts';
import { howToLogIn } from './how-to-log-in.ts';
import { openLedgerView } from './ledger-view.ts';
import { openWays } from './open-ways.ts';
import type { DemoOptions } from './options.ts';
import { heading, type Paper } from './paper.ts';
import { type PreparedLoad, prepareLoad } from './prepare-load.ts';
import { type Progress, showProgress } from './progress.ts';
import { createServiceCall } from './service-call.ts';
import { setAccounts, setLimit } from './set-accounts.ts';
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
/** A recording may have one user or service that asks for as much as five hundred here. */
const LIMITS_OF_REPLAY = { RATE_LIMIT_SERVICE_FACTOR: '1000000', NOTIFICATION_RATE_LIMIT: '1000000' };

export interface DemoRun {
  readonly options: DemoOptions;
  readonly config: Config;
  /** Variables set by a person or in a file. */
  readonly said: Readonly<Record<string, string | undefined>>;
  readonly out: NodeJS.WriteStream;
  readonly paper: Paper;
  readonly stopping: AbortSignal;
  /** Hands out the way to end the cluster as soon as there is one. */
  readonly onCluster: (cluster: Cluster) => void;
}

/** What came of a run. */
export interface DemoResult {
  /** What did not hold; empty when everything did. */
  readonly broken: readonly string[];
  readonly checks: number;
  readonly cluster: Cluster;
}

/** Everything that is up while the load runs. */
interface Stage {
  readonly place: DemoPlace;
  readonly cluster: Cluster;
  readonly log: ClusterLog;
  readonly deaths: DeathWatch;
  readonly tally: Tally;
  readonly progress: Progress;
  readonly events: EventDesk | undefined;
  /** Why the errands that need RabbitMQ cannot run; undefined: they can. */
  readonly withoutEvents: string | undefined;
}

/**
 * The whole demo: a place of its own, the cluster, the load, the errands beside it, a killed worker, and the comparison of
 * everything with everything.
 */
export async function runDemo(run: DemoRun): Promise<DemoResult> {
  const say = (text: string) => void run.out.write(`${text}\n`);
  const { config, paper } = run;
  const prepared = await prepareLoad(run.options);
  for (const line of prepared.words) say(line);
  const withoutEvents = await whyWithoutEvents(config);
  if (withoutEvents !== undefined) say(`orders, failing devices and arrears are left out, they come by event: ${withoutEvents}`);
  const up = await bringUp(run, say);
  say(`\n${heading('live', paper)}`);
  const tally = createTally();
  const progress = showProgress(tally, prepared.requests, run.out, paper);
  run.stopping.addEventListener('abort', progress.stop, { once: true });
  const events = config.RABBITMQ_URL === '' ? undefined : await openEventDesk(config.RABBITMQ_URL);
  const stage = { ...up, tally, progress, events, withoutEvents };
  up.deaths.begin(progress.note);
  const startedAt = performance.now();
  await send(run, stage, prepared);
  const result = await conclude(run, stage, startedAt, say);
  if (!run.options.keep) await up.place.leave();
  return result;
}

async function whyWithoutEvents({ RABBITMQ_URL }: Config): Promise<string | undefined> {
  if (RABBITMQ_URL === '') return 'events are off, RABBITMQ_URL is empty';
  return (await isListenedTo(RABBITMQ_URL)) ? 'another cluster listens on this RabbitMQ (npm start?)' : undefined;
}

/** The cluster in its place, every process answering, with a fleet. */
async function bringUp({ options, config, said, onCluster }: DemoRun, say: (text: string) => void) {
  say('making a database and a corner of Redis for this run …');
  const isTrace = options.trace !== undefined;
  const place = await makeDemoPlace(said, config, isTrace ? LIMITS_OF_REPLAY : {});
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
  const { created } = await importFleet(cluster.addresses.api, options.devices, options.seed, secretsOf(config));
  say(`${created} devices imported over HTTP`);
  say(`dashboard: ${cluster.addresses.dashboard}  (${howToLogIn(config.DASHBOARD_USER, process.env)})`);
  if (!isTrace) await setAccounts(place);
  return { place, cluster, log, deaths };
}

/** Sends the load and sees it through, the errands beside it; a worker is killed on the way. */
async function send({ options, config, stopping }: DemoRun, stage: Stage, { load, requests }: PreparedLoad): Promise<void> {
  const { cluster, place, tally, progress } = stage;
  const ways = openWays({ api: cluster.addresses.api, place, config, tally, asService: options.trace !== undefined });
  const client = new SchedulerClient({ redis: { url: config.REDIS_URL }, prefix: place.prefix, service: 'demo-errands' });
  progress.phase('sending ');
  const killAt = Math.floor(requests * KILL_AFTER);
  const onSend = (sent: number) => {
    if (sent === killAt) cluster.kill(KILLED);
    if (sent === requests - 1) progress.phase('draining');
  };
  const parts = {
    desk: createDesk(await serviceCall(config, cluster, tally), tally, stopping),
    client,
    tally,
    setLimit: (userId: string, maxDevices: number | 'no quota') => setLimit(place.userService, userId, maxDevices),
    tell: progress.note,
  };
  await Promise.all([
    drive({ load, ways, tally, onSend, stopping }),
    runErrands(parts, stage.withoutEvents === undefined ? stage.events : undefined),
  ]);
  await Promise.all([client, ...Object.values(ways)].map((way) => way.close()));
}

const secretsOf = (config: Config) => ({ userSecret: config.JWT_SECRET, serviceSecret: config.SERVICE_TOKEN_SECRET });

async function serviceCall(config: Config, { addresses }: Cluster, tally: Tally) {
  const headers = { 'x-service-token': await signToken({ service: 'demo', expiresIn: '7200' }, secretsOf(config)) };
  return createServiceCall(addresses.api, headers, () => {
    tally.retries += 1;
  });
}

/** Waits until everything has left, compares, and prints the summary. */
async function conclude(
  { options, config, paper }: DemoRun,
  stage: Stage,
  startedAt: number,
  say: (text: string) => void,
): Promise<DemoResult> {
  const { place, cluster, log, deaths, tally, progress, events, withoutEvents } = stage;
  const view = await openLedgerView(place.databaseUrl);
  const backlog = await settle(view, events, (left) => progress.phase(`settling: ${left}`));
  const downMs = await deaths.replaced(REPLACED_WITHIN_MS);
  progress.phase('checking');
  const invariants = await checkStore(place.databaseUrl, config);
  const standIns = standInSummary.parse(await (await fetch(cluster.addresses.standIns ?? '')).json());
  const replaced = downMs !== undefined;
  const outcome = { tally, figures: await view.figures(), backlog, standIns, events, withEvents: withoutEvents === undefined, replaced };
  const findings = compareOutcome(outcome);
  progress.stop();
  deaths.begin(say);
  const facts = {
    ...{ seconds: (performance.now() - startedAt) / 1_000, devices: options.devices, killed: { name: KILLED, downMs } },
    ...{ warnings: log.problems.length, logFile: place.logFile, withoutEvents, invariants },
  };
  say(`\n${summarise(outcome, findings, facts, paper)}`);
  await Promise.all([events?.close(), view.close()]);
  const all = [...invariants, ...findings];
  return { broken: all.flatMap(({ ok, name }) => (ok ? [] : [name])), checks: all.length, cluster };
}
