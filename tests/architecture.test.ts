import { describe, expect, test } from '@jest/globals';
import { findCycle, packagesBehind, parse, readSources, type SourceFile } from './support/import-graph.ts';

/** The first pattern that fits a path names its station. */
const STATIONS: readonly (readonly [station: string, paths: RegExp])[] = [
  ['config', /^shared\/(config|config-files|read-config)\.ts$/],
  [
    'domain',
    /^shared\/(errors|events|read-tolerantly|storable|trace)\.ts$|^shared\/(allocation|placement|quota|reservation|waitlist|renewal|simulation|notices|consumed)\//,
  ],
  ['fault point', /^shared\/fault-point\.ts$/],
  ['spans', /^shared\/spans\.ts$/],
  ['telemetry', /^shared\/(logger|metrics)\.ts$/],
  ['generated', /^prisma\/generated\//],
  ['store', /^shared\/store\//],
  ['clients', /^shared\/clients\//],
  ['broker', /^shared\/broker\//],
  ['run', /^shared\/run\//],
  ['queues', /^queues\//],
  ['api', /^api\//],
  ['worker allocation', /^workers\/allocation\//],
  ['worker delivery', /^workers\/delivery\//],
  ['worker listener', /^workers\/listener\//],
  ['worker lifecycle', /^workers\/lifecycle\//],
  ['worker maintenance', /^workers\/maintenance\//],
  ['worker reservations', /^workers\/reservations\//],
  ['worker relay', /^workers\/relay\//],
  ['worker waitlist', /^workers\/waitlist\//],
  ['page', /^dashboards\/page\//],
  ['dashboards', /^dashboards\//],
  ['cli', /^cli\//],
];

const SHARED = ['domain', 'telemetry', 'fault point', 'spans', 'store', 'clients', 'broker', 'run'];

/** What a station may import besides itself. The configuration is for `main.ts` files, see below. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  config: ['domain'],
  domain: [],
  telemetry: [],
  'fault point': [],
  // What records spans is in `run`, and loaded there only where an endpoint is set.
  spans: ['domain'],
  store: ['domain', 'telemetry', 'fault point', 'spans', 'generated'],
  clients: ['domain', 'telemetry', 'spans'],
  broker: ['domain', 'telemetry', 'spans'],
  run: ['domain', 'telemetry', 'spans'],
  // The client opens connections of its own, in the way every process does; what that drags in is tested below.
  queues: ['domain', 'spans', 'run'],
  api: ['queues', ...SHARED],
  'worker allocation': ['queues', ...SHARED],
  'worker delivery': ['queues', ...SHARED],
  'worker listener': ['queues', ...SHARED],
  'worker lifecycle': ['queues', ...SHARED],
  'worker maintenance': ['queues', ...SHARED],
  'worker reservations': ['queues', ...SHARED],
  'worker relay': ['queues', ...SHARED],
  'worker waitlist': ['queues', ...SHARED],
  dashboards: ['queues', ...SHARED],
  cli: ['queues', ...SHARED],
  // What browsers run: nothing of it is of the servers, nor the other way round.
  page: [],
};

/** Each outside library has its owners; a new one gets a line here first. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  '@prisma/adapter-pg': ['store'],
  '@prisma/client': ['store'],
  '@prisma/driver-adapter-utils': ['store'],
  got: ['clients'],
  opossum: ['clients'],
  amqplib: ['broker'],
  // The deliveries throw BullMQ's error for a job that must not be repeated.
  bullmq: ['run', 'queues', 'dashboards', 'worker delivery', 'spans'],
  'bullmq-otel': ['run'],
  '@opentelemetry/api': ['run'],
  '@opentelemetry/context-async-hooks': ['run'],
  '@opentelemetry/core': ['run'],
  '@opentelemetry/exporter-trace-otlp-http': ['run'],
  '@opentelemetry/resources': ['run'],
  '@opentelemetry/sdk-trace': ['run'],
  // Only run and queues open connections; the others name the type of one they are given.
  ioredis: ['run', 'queues', 'clients', 'api'],
  pino: ['telemetry'],
  'prom-client': ['telemetry', 'run'],
  zod: ['domain', 'config', 'clients', 'queues', 'api', 'dashboards', 'cli'],
  jose: ['api', 'clients', 'cli'],
  fastify: ['api', 'dashboards'],
  'fastify-plugin': ['api', 'dashboards'],
  'fastify-type-provider-zod': ['api'],
  '@fastify/cookie': ['dashboards'],
  '@fastify/formbody': ['dashboards'],
  '@fastify/helmet': ['api', 'dashboards'],
  '@fastify/rate-limit': ['api'],
  '@fastify/swagger': ['api'],
  '@fastify/swagger-ui': ['api'],
  '@fastify/under-pressure': ['api'],
  '@bull-board/api': ['dashboards'],
  '@bull-board/fastify': ['dashboards'],
  preact: ['page'],
  '@preact/signals': ['page'],
  htm: ['page'],
  uplot: ['page'],
  commander: ['cli'],
  'cli-table3': ['cli'],
};

const sources = readSources(['shared', 'queues', 'api', 'workers', 'dashboards', 'cli']);
const stationOf = (path: string) => STATIONS.find(([, paths]) => paths.test(path))?.[0];

function wrongImports(source: SourceFile): string[] {
  const station = stationOf(source.path) ?? '';
  const allowed = [station, ...(MAY_IMPORT[station] ?? [])];
  const isAllowed = (file: string) => {
    const other = stationOf(file);
    return other === 'config' ? source.path.endsWith('main.ts') || station === 'config' : other !== undefined && allowed.includes(other);
  };
  const files = source.files.filter((file) => !isAllowed(file));
  const packages = source.packages.filter((name) => !OWNERS[name]?.includes(station));
  return [...files, ...packages].map((name) => `${source.path} imports ${name}`);
}

describe('the stations', () => {
  test('every file has one', () => {
    expect(sources.map(({ path }) => path).filter((path) => stationOf(path) === undefined)).toEqual([]);
  });

  test('import only what stands in the table', () => {
    expect(sources.flatMap(wrongImports)).toEqual([]);
  });

  test('import nothing in a ring', () => {
    expect(findCycle(sources)).toBeUndefined();
  });

  test('read the environment in one place', () => {
    const readers = sources
      .filter(({ text }) => /process\.env\b/.test(text.replaceAll(/\/\*\*.*?\*\/|\/\/.*/gs, '')))
      .map(({ path }) => path);
    expect(readers).toEqual(['shared/config-files.ts']);
  });
});

describe('the client of other services', () => {
  test('needs Redis only: no Prisma, no Fastify, no amqplib behind it', () => {
    expect([...packagesBehind(sources, 'queues/client.ts')].toSorted()).toEqual(['bullmq', 'ioredis', 'zod']);
  });
});

describe('the reading of imports', () => {
  const text = [
    "import { a } from '../store/store.ts';",
    "import type {\n  B,\n} from './b.ts';",
    "import '@fastify/cookie';",
    "export { c } from 'ioredis/built/x.js';",
    "const d = await import('got');",
    "import { readFile } from 'node:fs/promises';",
  ].join('\n');

  test('sees every way to import', () => {
    expect(parse('shared/run/x.ts', text)).toMatchObject({
      files: ['shared/store/store.ts', 'shared/run/b.ts'],
      packages: ['@fastify/cookie', 'ioredis', 'got'],
    });
  });

  test('finds a forbidden import and a ring when there is one', () => {
    expect(wrongImports(parse('shared/run/x.ts', text))).toHaveLength(3);
    expect(wrongImports(parse('workers/relay/x.ts', "import { y } from '../delivery/y.ts';"))).toHaveLength(1);
    expect(wrongImports(parse('api/routes/x.ts', "import { loadConfig } from '../../shared/config.ts';"))).toHaveLength(1);
    const ring = [parse('a.ts', "import { b } from './b.ts';"), parse('b.ts', "import { a } from './a.ts';")];
    expect(findCycle(ring)).toEqual(['a.ts', 'b.ts', 'a.ts']);
  });
});
