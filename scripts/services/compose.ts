import { join } from 'node:path';
import type { Instance } from './instance.ts';
import { ROOT } from './place.ts';
import { during, say } from './progress.ts';
import { attempt, programPath, run } from './run.ts';
import { readSettings, writeSettings } from './settings.ts';

/** Compose refuses to start without these; for servers on the loopback of a developer they are no secrets. */
const LOCAL = { POSTGRES_PASSWORD: 'postgres', RABBITMQ_USER: 'guest', RABBITMQ_PASSWORD: 'guest' };

/** Whether a Docker engine with Compose answers. */
export async function hasCompose(): Promise<boolean> {
  if (programPath('docker') === undefined) return false;
  const [engine, plugin] = await Promise.all([
    attempt('docker', ['info', '--format', '{{.ServerVersion}}'], { timeoutMs: 10_000 }),
    attempt('docker', ['compose', 'version'], { timeoutMs: 10_000 }),
  ]);
  return engine.code === 0 && plugin.code === 0;
}

function compose(instances: readonly Instance[], ...args: string[]): Promise<string> {
  const ports = Object.fromEntries(instances.map(({ name, wantedPort }) => [`${name.toUpperCase()}_PORT`, String(wantedPort)]));
  const env = { ...readSettings(), ...LOCAL, ...ports };
  return run(
    'docker',
    ['compose', '--project-name', 'cloudphone-scheduler-services', '--file', join(ROOT, 'docker-compose.yml'), ...args],
    {
      cwd: ROOT,
      env,
    },
  );
}

/** Starts the servers in containers and waits for their health checks. Returns their addresses by variable. */
export async function upCompose(instances: readonly Instance[]): Promise<Record<string, string>> {
  writeSettings({});
  say(`Starting ${instances.map(({ name }) => name).join(', ')} with Docker Compose …`);
  await during('docker compose', compose(instances, 'up', '--detach', '--wait', ...instances.map(({ name }) => name)));
  return Object.fromEntries(instances.map((instance) => [instance.variable, composeUrl(instance)]));
}

function composeUrl(instance: Instance): string {
  const url = instance.url(instance.wantedPort);
  return instance.name === 'postgres' ? url.replace('postgres@', `postgres:${LOCAL.POSTGRES_PASSWORD}@`) : url;
}

/** Stops the containers; with `volumes` their data go too. */
export async function downCompose(instances: readonly Instance[], options: { volumes: boolean }): Promise<void> {
  await compose(instances, 'down', ...(options.volumes ? ['--volumes'] : []));
}
