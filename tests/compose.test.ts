import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { describeVariables, loadConfig } from '../shared/config.ts';
import { processFiles } from './support/process-files.ts';

interface ComposeService {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly profiles?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const SECRETS = ['POSTGRES_PASSWORD', 'RABBITMQ_USER', 'RABBITMQ_PASSWORD', 'JWT_SECRET', 'SERVICE_TOKEN_SECRET', 'DASHBOARD_PASSWORD'];
const SERVERS = ['postgres', 'redis', 'rabbitmq'];
const WATCHERS = ['prometheus', 'grafana'];

/** What the file says itself: where the servers are, and what its ports and its patience must agree with. The last two are the command line's. */
const OWN =
  /^(NODE_ENV|HOST|PORT|DASHBOARD_PORT|METRICS_(HOST|PORT)|DATABASE_URL|DB_(HOST|PORT|USERNAME|PASSWORD|DATABASE)|REDIS_\w+|RABBITMQ_URL|SHUTDOWN_TIMEOUT|SCHEDULER_(URL|TOKEN))$/;

const text = readFileSync('docker-compose.yml', 'utf8');
const said = Object.fromEntries(SECRETS.map((name) => [name, `${name}-${'x'.repeat(32)}`]));
/** Compose puts variables in after it has read the file: `${NAME:?}` must be said, `${NAME:-default}` may be. */
const fill = (value: string) => value.replaceAll(/\$\{(\w+):[?-]([^}]*)\}/g, (_, name: string, fallback: string) => said[name] ?? fallback);
const compose: ComposeFile = parse(text, (_, value) => (typeof value === 'string' ? fill(value) : value), { merge: true });
const processes = Object.entries(compose.services).filter(([name]) => ![...SERVERS, ...WATCHERS].includes(name));

describe('docker-compose.yml', () => {
  test('runs the current majors of the servers, each with a health check and a volume of its own', () => {
    expect(SERVERS.map((name) => compose.services[name]?.image)).toEqual(['postgres:18', 'redis:8', 'rabbitmq:4-management']);
    for (const name of SERVERS) {
      expect(compose.services[name]?.healthcheck?.test[0]).toBe('CMD');
      expect(Object.keys(compose.volumes)).toContain(compose.services[name]?.volumes?.[0]?.split(':')[0]);
    }
  });

  test('runs every process of the cluster', () => {
    const started = processes.map(([, { command }]) => command?.at(-1) ?? '');
    expect(started.toSorted()).toEqual([...processFiles(), 'scripts/migrate.ts'].toSorted());
    for (const file of started) expect(existsSync(file)).toBe(true);
  });

  test('gives every process a configuration that is accepted, out of known variables only', () => {
    const known = new Set(describeVariables().map(({ name }) => name));
    for (const [, { environment }] of processes) {
      expect(Object.keys(environment).filter((name) => !known.has(name))).toEqual([]);
      expect(loadConfig(environment)).toMatchObject({ ok: true, config: { NODE_ENV: 'production' } });
    }
  });

  test('hands on every setting that is not its own, and leaves the default where nothing is said', () => {
    const settings = describeVariables()
      .map(({ name }) => name)
      .filter((name) => !OWN.test(name));
    expect(settings.filter((name) => !new RegExp(`^ +${name}: \\$\\{${name}:[-?]`, 'm').test(text))).toEqual([]);
    for (const [name, { environment }] of processes) {
      expect([name, settings.filter((setting) => !Object.hasOwn(environment, setting))]).toEqual([name, []]);
      const saidOnly = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
      expect(loadConfig(environment)).toEqual(loadConfig(saidOnly));
    }
  });

  test('watches only when asked, with files that are there and every process in sight', () => {
    for (const name of WATCHERS) {
      expect(compose.services[name]?.profiles).toEqual(['monitoring']);
      const mounted = (compose.services[name]?.volumes ?? []).filter((volume) => volume.startsWith('./'));
      expect(mounted.map((volume) => volume.split(':')[0] ?? '').filter((path) => !existsSync(path))).toEqual([]);
    }
    const scraped = parse(readFileSync('deploy/monitoring/prometheus.yml', 'utf8')).scrape_configs[0].dns_sd_configs[0].names;
    expect(scraped.toSorted()).toEqual(processes.flatMap(([name]) => (name === 'migrate' ? [] : [name])).toSorted());
  });

  test('starts processes once the servers are healthy and the schema is there', () => {
    for (const [name, { depends_on: after }] of processes) {
      expect(after).toMatchObject({ postgres: { condition: 'service_healthy' } });
      if (name !== 'migrate') expect(after).toMatchObject({ migrate: { condition: 'service_completed_successfully' } });
    }
  });

  test('opens ports on loopback only', () => {
    const ports = Object.values(compose.services).flatMap((service) => service.ports ?? []);
    expect(ports.length).toBeGreaterThan(0);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  test('has no default for a secret', () => {
    for (const name of SECRETS) expect(text.match(new RegExp(`\\$\\{${name}[^?}]*\\}`, 'g'))).toBeNull();
    for (const name of SECRETS) expect(text).toContain(`\${${name}:?}`);
  });

  const hasPlugin = spawnSync('docker', ['compose', 'version']).status === 0;
  test(hasPlugin ? 'is what Compose itself takes' : 'names no key twice (there is no Compose here to ask)', () => {
    if (hasPlugin) execFileSync('docker', ['compose', 'config', '--quiet'], { env: { ...process.env, ...said } });
    else expect(() => parse(text, { merge: true, uniqueKeys: true, strict: true })).not.toThrow();
  });
});

describe('the image', () => {
  const dockerfile = readFileSync('Dockerfile', 'utf8');

  test('is built in stages, runs as nobody special, and brings everything the processes need', () => {
    expect(dockerfile.match(/^FROM node:24/gm)).toHaveLength(2);
    const last = dockerfile.slice(dockerfile.lastIndexOf('FROM '));
    expect(last).toMatch(/^USER node$/m);
    expect(last).not.toMatch(/^RUN /m);
    const copied = [...last.matchAll(/^COPY (?:--from=\w+ )?(?:\/app\/)?(\S+)/gm)].map(([, path]) => path);
    expect(copied).toEqual(
      expect.arrayContaining(['node_modules', 'prisma', 'shared', 'queues', 'api', 'workers', 'dashboards', 'scripts/migrate.ts']),
    );
  });

  test('is given nothing but what it copies', () => {
    const lines = readFileSync('.dockerignore', 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(lines[0]).toBe('*');
    const allowed = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths]) => (paths ?? '').split(' '));
    expect(copied.filter((path) => !allowed.includes(path.split('/')[0] ?? ''))).toEqual([]);
  });
});
