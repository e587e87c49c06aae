import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../shared/errors.ts';
import { installMissing } from './install.ts';
import type { Instance } from './instance.ts';
import { folderOf, numberIn, PLACE } from './place.ts';
import { removeOutsidePostgres } from './postgres.ts';
import { freePort, isAlive } from './probe.ts';
import { during, say } from './progress.ts';

/** A port that is free may be taken the next moment by another clone that starts; so may the second one RabbitMQ needs. */
const ATTEMPTS = 3;
const STEP = 11;
const OTHERWISE = 'set DATABASE_URL, REDIS_URL and RABBITMQ_URL to servers you have, start Docker, ';

const portFile = (instance: Instance) => join(PLACE, `${instance.name}.port`);

/** The port an instance was given, or the one it would like. */
export function portOf(instance: Instance): number {
  return numberIn(portFile(instance)) ?? instance.wantedPort;
}

/** Whether our own process lives and speaks its language. */
export async function isUp(instance: Instance): Promise<boolean> {
  return isAlive(instance.pid()) && (await instance.answers(portOf(instance)));
}

/** Starts the private instances that do not run yet. Returns their addresses by variable. */
export async function upNative(instances: readonly Instance[]): Promise<Record<string, string>> {
  await installMissing(instances, OTHERWISE);
  const started = await Promise.allSettled(instances.map(upOne));
  const failure = started.find((each) => each.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  return Object.fromEntries(instances.map((instance) => [instance.variable, instance.url(portOf(instance))]));
}

async function upOne(instance: Instance): Promise<void> {
  if (await isUp(instance)) return;
  await instance.stop();
  mkdirSync(PLACE, { recursive: true, mode: 0o755 });
  const wanted = portOf(instance);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startOn(instance, await freePort(wanted + (attempt - 1) * STEP));
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await instance.stop();
      say(`  ${instance.name}: did not start (${messageOf(error)}); once more on another port`);
    }
  }
}

async function startOn(instance: Instance, port: number): Promise<void> {
  writeFileSync(portFile(instance), `${port}\n`);
  say(`  ${instance.name}: starting on port ${port}${port === instance.wantedPort ? '' : ` (${instance.wantedPort} is taken)`}`);
  await during(instance.name, instance.start(port));
  say(`  ${instance.name}: up`);
}

/** Stops the private instances; their data stay. */
export async function downNative(instances: readonly Instance[]): Promise<void> {
  await Promise.all(instances.map((instance) => during(instance.name, instance.stop())));
}

/** Deletes what stopped instances have written. */
export function forgetNative(instances: readonly Instance[]): void {
  for (const instance of instances) {
    rmSync(folderOf(instance.name), { recursive: true, force: true });
    rmSync(portFile(instance), { force: true });
    if (instance.name === 'postgres') removeOutsidePostgres();
  }
}

/** Whether native instances have left anything here: then they are used again, whatever else there is by now. */
export function hasNative(): boolean {
  try {
    return readdirSync(PLACE).some((name) => name.endsWith('.port'));
  } catch {
    return false;
  }
}
