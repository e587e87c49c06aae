import { createWriteStream } from 'node:fs';
import { signToken } from '../../cli/token.ts';
import type { Config } from '../../shared/config.ts';
import { checkInvariants } from '../../shared/store/invariants.ts';
import { createStore } from '../../shared/store/store.ts';
import { importFleet } from '../cluster/import-fleet.ts';
import { formatLogLine, type LogLine } from '../cluster/log-line.ts';
import { type Cluster, startCluster } from '../cluster/start-cluster.ts';
import type { ProcessEvent } from '../cluster/supervise.ts';
import { createClientWay } from './client-way.ts';
import { compareOutcome, type Finding, standInSummary } from './compare.ts';
import { type DemoPlace, makeDemoPlace } from './demo-place.ts';
import { drive } from './drive.ts';
import { countEvents } from './event-counter.ts';
import { createHttpWay } from './http-way.ts';
import { openLedgerView } from './ledger-view.ts';
import type { DemoOptions } from './options.ts';
import type { PlannedRequest } from './planned-request.ts';
import { prepareLoad } from './prepare-load.ts';
import { showProgress } from './progress.ts';
import { setAccounts } from './set-accounts.ts';
import { settle } from './settle.ts';
import { summarise } from './summary.ts';
import { createTally, type Tally } from './tally.ts';

const NAME_WIDTH = 12;
/** Two decide, so that there is work to go on while one of them is dead. */
const COPIES = { allocation: 2 };
const KILLED = 'allocation-1';
/** The worker is killed after this share of the requests. */
const KILL_AFTER = 0.4;
const REPLACED_WITHIN_MS = 60_000;

export interface DemoRun {
  readonly options: DemoOptions;
  readonly config: Config;
  readonly said: Readonly<Record<string, string | undefined>>;
  readonly out: NodeJS.WriteStream;
  readonly stopping: AbortSignal;
  /** Hands out the way to end the cluster as soon as there is one. */
  readonly onCluster: (cluster: Cluster) => void;
}

/**
 * The whole demo: a place of its own, the cluster, the load, a killed worker, and the comparison of everything with
 * everything.
 *
 * @returns whether all of it holds
 */
export async function runDemo({ options, config, said, out, stopping, onCluster }: DemoRun): Promise<boolean> {
  const say = (text: string) => void out.write(`${text}\n`);
  const { requests, load, words } = await prepareLoad(options);
  for (const line of words) say(line);
  say('making a database and a corner of Redis for this run …');
  const place = await makeDemoPlace(said, config, options.trace === undefined ? {} : { RATE_LIMIT_SERVICE_FACTOR: '1000000' });
  const logs = openLogs(place.logFile);
  const deaths = watchDeaths();
  const cluster = await startCluster({
    env: place.env,
    copies: COPIES,
    standIns: place.standIns,
    stopWithinMs: (config.SHUTDOWN_TIMEOUT + 2) * 1_000,
    onLine: logs.take,
    onEvent: (event) => deaths.hear(event, say),
  });
  onCluster(cluster);
  say(`starting ${cluster.processes.length} processes; their log is ${place.logFile} …`);
  const notReady = await cluster.ready;
  if (notReady.length > 0) throw new Error(`${notReady.join(', ')} did not come up:\n${logs.problems.slice(-20).join('\n')}`);
  const secrets = { userSecret: config.JWT_SECRET, serviceSecret: config.SERVICE_TOKEN_SECRET };
  const { created } = await importFleet(cluster.addresses.api, options.devices, options.seed, secrets);
  say(`${created} devices imported over HTTP; dashboard: ${cluster.addresses.dashboard} (${config.DASHBOARD_USER})`);
  if (options.trace === undefined) await setAccounts(place);
  deaths.expect();

  const tally = createTally();
  const progress = showProgress(tally, requests, out);
  const events = config.RABBITMQ_URL === '' ? undefined : await countEvents(config.RABBITMQ_URL);
  const startedAt = performance.now();
  const ways = openWays({ api: cluster.addresses.api, place, config, tally, asService: options.trace !== undefined });
  progress.phase('sending ');
  const killAt = Math.floor(requests * KILL_AFTER);
  const onSend = (sent: number) => {
    if (sent === killAt) cluster.kill(KILLED);
    if (sent === requests - 1) progress.phase('draining');
  };
  await drive({ load, ways, tally, onSend, stopping });
  const view = await openLedgerView(place.databaseUrl);
  const backlog = await settle(view, events, (left) => progress.phase(`settling: ${left}`));
  const downMs = await deaths.replaced(REPLACED_WITHIN_MS);
  progress.phase('checking');
  const invariants = await checkStore(place, config);
  const standIns = standInSummary.parse(await (await fetch(cluster.addresses.standIns ?? '')).json());
  const outcome = { tally, figures: await view.figures(), backlog, standIns, events, replaced: downMs !== undefined };
  const findings = [...invariants, ...compareOutcome(outcome)];
  progress.stop();
  const seconds = (performance.now() - startedAt) / 1_000;
  const facts = {
    seconds,
    devices: options.devices,
    killed: { name: KILLED, downMs },
    warnings: logs.problems.length,
    logFile: place.logFile,
  };
  say(`\n${summarise(outcome, findings, facts)}\n\ndashboard  ${cluster.addresses.dashboard}`);
  await Promise.all([...new Set(Object.values(ways))].map((way) => way.close()));
  await Promise.all([events?.close(), view.close(), options.keep ? undefined : place.leave()]);
  return findings.every(({ ok }) => ok);
}

interface WaysOptions {
  readonly api: string;
  readonly place: DemoPlace;
  readonly config: Config;
  readonly tally: Tally;
  /** A recording is replayed by one service on behalf of its users; the made-up users ask for themselves. */
  readonly asService: boolean;
}

function openWays({ api, place, config, tally, asService }: WaysOptions) {
  const onRetry = () => {
    tally.retries += 1;
  };
  const secrets = { userSecret: config.JWT_SECRET, serviceSecret: config.SERVICE_TOKEN_SECRET };
  const tokens = new Map<string, Promise<string>>();
  const tokenFor = (name: string, make: () => Promise<string>) => {
    const token = tokens.get(name) ?? make();
    tokens.set(name, token);
    return token;
  };
  const signIn = async ({ userId, tenantId, tier }: PlannedRequest): Promise<Record<string, string>> => {
    const expiresIn = '7200';
    if (asService) return { 'x-service-token': await tokenFor('', () => signToken({ service: 'demo', expiresIn }, secrets)) };
    const words = { user: userId, tier, expiresIn, ...(tenantId === null ? {} : { tenant: tenantId }) };
    return { authorization: `Bearer ${await tokenFor(userId, () => signToken(words, secrets))}` };
  };
  const client = (service: string) =>
    createClientWay({ redisUrl: config.REDIS_URL, clusterNodes: [], prefix: place.prefix, service, onRetry });
  return { http: createHttpWay({ api, signIn, statesTier: asService, onRetry }), client: client('demo'), event: client('demo-events') };
}

function openLogs(path: string) {
  const file = createWriteStream(path);
  const problems: string[] = [];
  return {
    problems,
    take: (line: LogLine) => {
      const text = formatLogLine(line, NAME_WIDTH, false);
      file.write(`${text}\n`);
      if (line.level >= 40) problems.push(text);
    },
  };
}

/** Remembers how long the killed worker was missed. */
function watchDeaths() {
  const back = Promise.withResolvers<number>();
  let expected = false;
  return {
    expect: () => {
      expected = true;
    },
    hear: (event: ProcessEvent, say: (text: string) => void) => {
      if (!expected) return;
      if (event.kind === 'died') say(`\n${event.name} died (${event.how})`);
      else if (event.downMs !== undefined) {
        say(`\n${event.name} is replaced after ${Math.round(event.downMs)} ms`);
        if (event.name === KILLED) back.resolve(event.downMs);
      }
    },
    replaced: (withinMs: number): Promise<number | undefined> =>
      Promise.race([back.promise, new Promise<undefined>((resolve) => void setTimeout(() => resolve(undefined), withinMs).unref())]),
  };
}

async function checkStore({ databaseUrl }: DemoPlace, config: Config): Promise<Finding[]> {
  const store = createStore({
    databaseUrl,
    poolSize: 2,
    acquireTimeoutMs: config.DB_ACQUIRE_TIMEOUT_MS,
    statementTimeoutMs: 60_000,
    applicationName: 'demo',
  });
  try {
    const { checks } = await checkInvariants(store);
    return checks.map(({ name, ok, violations, sample }) => ({
      name,
      ok,
      seen: violations === 0 ? 'no violation' : `${violations} violations, such as ${sample.join(', ')}`,
    }));
  } finally {
    await store.close();
  }
}
