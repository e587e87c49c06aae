// npm run services -- up|down|status|reset: Postgres, Redis and RabbitMQ for this project. Addresses from the environment
// are taken as they are; the rest runs with Docker Compose where an engine answers, else as private native instances.
import { rmSync } from 'node:fs';
import { readEnvironment } from '../shared/config-files.ts';
import { downCompose, hasCompose, upCompose } from './services/compose.ts';
import { withLock } from './services/exclusive.ts';
import type { Instance } from './services/instance.ts';
import { downNative, forgetNative, hasNative, isUp, portOf, upNative } from './services/native.ts';
import { PLACE, ROOT } from './services/place.ts';
import { postgres } from './services/postgres.ts';
import { isTaken, until } from './services/probe.ts';
import { during, say, table } from './services/progress.ts';
import { rabbitmq } from './services/rabbitmq.ts';
import { redis } from './services/redis.ts';
import { readSettings, SETTINGS_FILE, saidByPerson, writeSettings } from './services/settings.ts';

const INSTANCES: readonly Instance[] = [postgres, redis, rabbitmq];
const DEFAULT_PORTS: Readonly<Record<string, number>> = { postgres: 5432, redis: 6379, rabbitmq: 5672 };

/** Ours unless the environment names another address. What was read back from .services/env is ours as well. */
function isOurs(instance: Instance): boolean {
  const said = saidByPerson();
  const kept = readSettings();
  return instance.saidBy.every((name) => said[name] === undefined || said[name] === kept[name]);
}

const ours = () => INSTANCES.filter(isOurs);
const theirs = () => INSTANCES.filter((instance) => !isOurs(instance));
const usesCompose = async () => !hasNative() && (await hasCompose());

async function up(): Promise<void> {
  await withLock(async () => {
    const instances = ours();
    const addresses = instances.length === 0 ? {} : (await usesCompose()) ? await upCompose(instances) : await upNative(instances);
    writeSettings(addresses);
  });
  await Promise.all(theirs().map(waitForTheirs));
  const settings = readEnvironment(process.env, ROOT);
  for (const { variable } of INSTANCES) process.stdout.write(`${variable}=${settings[variable] ?? ''}\n`);
}

/** Where somebody else's server is, as far as the environment says it. */
function theirAddress(instance: Instance): { host: string; port: number } | undefined {
  const said = saidByPerson();
  const fallback = DEFAULT_PORTS[instance.name] ?? 0;
  const url = said[instance.variable];
  if (url === '') return undefined;
  if (url !== undefined) return { host: new URL(url).hostname, port: Number(new URL(url).port || fallback) };
  const node = (said['REDIS_SENTINELS'] ?? said['REDIS_CLUSTER_NODES'])?.split(',')[0]?.split(':');
  if (instance.name === 'redis' && node?.[0]) return { host: node[0], port: Number(node[1] ?? fallback) };
  const short = instance.name === 'postgres' ? 'DB' : 'REDIS';
  return { host: said[`${short}_HOST`] ?? 'localhost', port: Number(said[`${short}_PORT`] ?? fallback) };
}

async function waitForTheirs(instance: Instance): Promise<void> {
  const address = theirAddress(instance);
  if (address === undefined) return;
  const what = `A connection to ${instance.name} at ${address.host}:${address.port}, which the environment names,`;
  await during(
    instance.name,
    until(what, 30_000, () => isTaken(address.port, address.host)),
  );
}

async function down(): Promise<void> {
  await withLock(async () => {
    if (await usesCompose()) await downCompose(ours(), { volumes: false });
    else await downNative(ours());
  });
  say('down');
}

async function status(): Promise<void> {
  const native = hasNative() || !(await hasCompose());
  const rows = await Promise.all(INSTANCES.map((instance) => (isOurs(instance) ? ourRow(instance, native) : theirRow(instance))));
  process.stdout.write(`${table([['server', 'state', 'run by', 'address'], ...rows])}\n`);
}

async function ourRow(instance: Instance, native: boolean): Promise<string[]> {
  const running = native ? await isUp(instance) : await instance.answers(instance.wantedPort);
  const by = native ? `this project${running ? ` (process ${instance.pid()})` : ''}` : 'Docker Compose';
  return [instance.name, running ? 'up' : 'down', by, instance.url(native ? portOf(instance) : instance.wantedPort)];
}

async function theirRow(instance: Instance): Promise<string[]> {
  const address = theirAddress(instance);
  if (address === undefined) return [instance.name, 'off', 'the environment', '-'];
  const running = await isTaken(address.port, address.host);
  return [instance.name, running ? 'up' : 'down', 'the environment', `${address.host}:${address.port}`];
}

async function reset(): Promise<void> {
  await withLock(async () => {
    if (await usesCompose()) await downCompose(ours(), { volumes: true });
    await downNative(ours());
    forgetNative(ours());
    rmSync(SETTINGS_FILE, { force: true });
  });
  say(`stopped; data, addresses and secrets in ${PLACE} are deleted`);
}

const VERBS: Readonly<Record<string, () => Promise<void>>> = { up, down, status, reset };

const verb = VERBS[process.argv[2] ?? ''];
if (verb === undefined) {
  say(`npm run services -- ${Object.keys(VERBS).join('|')}`);
  process.exit(2);
}
try {
  await verb();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
