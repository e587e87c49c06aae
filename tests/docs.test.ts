import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { OLDEST_POSTGRES } from '../cli/doctor/check-postgres.ts';
import { describeVariables } from '../shared/config.ts';
import { ERRORS } from '../shared/errors.ts';
import { EVENTS } from '../shared/events.ts';
import { createMetrics } from '../shared/metrics.ts';
import { type ApiBench, openApiBench, SERVICE_SECRET, USER_SECRET } from './support/api-bench.ts';
import { anchorsOf, type Block, blocksOf, fileLinksOf, readDocuments } from './support/documents.ts';
import { redisUrl } from './support/redis.ts';

const run = promisify(execFile);
const PROJECT = process.cwd();
const CLIENT = join(PROJECT, 'queues/client.ts');
const GUIDE = 'docs/guides/enqueue-from-another-service.md';
const OPERATE = 'docs/guides/operate.md';

const documents = readDocuments();
const allText = documents.map(({ text }) => text).join('\n');
const textOf = (path: string) => documents.find((document) => document.path === path)?.text ?? '';
const examples = (language: string) =>
  documents.flatMap(({ path, blocks }) => blocks.filter((block) => block.language === language).map((block) => ({ path, ...block })));

let folder: string;
let bench: ApiBench;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scheduler-docs-'));
  bench = await openApiBench();
  await bench.startWorkers();
  await bench.addDevices(1);
});

afterAll(async () => {
  await bench.close();
  await rm(folder, { recursive: true });
});

describe('every page', () => {
  test.each(documents)('$path leads to files and headings that are there', ({ path, text }) => {
    const broken = fileLinksOf(text).filter((target) => {
      const [file = '', anchor] = target.split('#');
      const page = file === '' ? path : normalize(join(dirname(path), file));
      return !existsSync(page) || (anchor !== undefined && !anchorsOf(readFileSync(page, 'utf8')).includes(anchor));
    });
    expect(broken).toEqual([]);
  });

  test('names npm scripts that are there', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    const named = [...allText.matchAll(/npm (?:run ([a-z][a-z:]*)|(start|test)\b)/g)].map(([, script, short]) => script ?? short ?? '');
    expect(named).toContain('demo');
    expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });

  test('names variables and codes that are there', () => {
    const foreign = ['NODE_COMPILE_CACHE', 'MALLOC_ARENA_MAX'];
    const known = new Set([...describeVariables().map(({ name }) => name), ...Object.keys(ERRORS), 'POOL_BUSY', ...foreign]);
    const named = [...allText.matchAll(/`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });

  test('of the code is named by a path that is there', () => {
    const named = [...allText.matchAll(/`((?:api|bench|cli|dashboards|dev|prisma|queues|scripts|shared|tests|workers)\/[\w./-]+)`/g)];
    // `extend` is the verb of the example in CONTRIBUTING.
    const paths = named.map(([, path = '']) => path).filter((path) => !path.includes('extend'));
    expect(paths.filter((path) => !existsSync(path))).toEqual([]);
  });
});

describe('the README', () => {
  test('leads to every decision', () => {
    const led = fileLinksOf(textOf('README.md'));
    const decisions = readdirSync('docs/decisions').map((file) => `docs/decisions/${file}`);
    expect(decisions.filter((path) => !led.includes(path))).toEqual([]);
  });
});

describe('the guides', () => {
  test('want the Postgres the doctor wants', () => {
    expect(textOf('docs/guides/deploy.md')).toContain(`* Version ${OLDEST_POSTGRES} or newer`);
  });

  test('name every metric, and none that is not counted', async () => {
    const counted = (await createMetrics('docs').registry.getMetricsAsJSON())
      .map(({ name }) => name)
      .filter((name) => name.startsWith('scheduler_'));
    const named = new Set([...allText.matchAll(/`(scheduler_[a-z_]+)`/g)].map(([, name = '']) => name.replace(/_(bucket|sum|count)$/, '')));
    expect([...named].toSorted()).toEqual(counted.toSorted());
  });

  test('name the fields of events as they are published', () => {
    const rows = [...textOf(GUIDE).matchAll(/^\| `((?:device|scheduler)\.[a-z_.]+)` \|[^|]*\| (.*) \|$/gm)];
    expect(rows).toHaveLength(11);
    for (const [, topic = '', fields = ''] of rows) {
      expect(Object.keys(EVENTS)).toContain(topic);
      const shape = Object.keys(EVENTS[topic as keyof typeof EVENTS].shape);
      if (!fields.startsWith('as ')) expect(fields.replaceAll('`', '').split(' ').toSorted()).toEqual(shape.toSorted());
    }
  });

  test('list every scheduled job', async () => {
    const { ALL_SCHEDULES } = await import('../queues/schedules.ts');
    for (const { name } of ALL_SCHEDULES) expect(textOf(OPERATE)).toContain(`| \`${name}\` |`);
  });

  test('show SQL that Postgres runs', async () => {
    const statements = examples('sql').flatMap(({ text }) => text.split(';').filter((statement) => statement.trim() !== ''));
    expect(statements.length).toBeGreaterThan(5);
    for (const statement of statements) await bench.store.prisma.$queryRawUnsafe(statement);
  });
});

describe('the TypeScript of the guides', () => {
  test('is accepted by the compiler', async () => {
    const files = examples('ts').map((_, index) => `example-${index}.ts`);
    await Promise.all(files.map((file, index) => writeFile(join(folder, file), examples('ts')[index]?.text ?? '')));
    const compilerOptions = { paths: { 'cloudphone-scheduler/client': [CLIENT] }, typeRoots: [join(PROJECT, 'node_modules/@types')] };
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: join(PROJECT, 'tsconfig.json'), compilerOptions, files, include: [] }),
    );
    const compiled = await run(join(PROJECT, 'node_modules/.bin/tsc'), ['-p', folder], { cwd: folder }).catch(
      (error: { stdout: string }) => error,
    );
    expect(compiled.stdout).toBe('');
  });

  /** Runs an example as a service of its own would: in a process that knows Redis and nothing else. */
  async function serviceSays({ text }: Block): Promise<string> {
    const file = join(folder, 'service.ts');
    await writeFile(file, text.replaceAll("'cloudphone-scheduler/client'", JSON.stringify(pathToFileURL(CLIENT).href)));
    const env = { PATH: process.env['PATH'], REDIS_URL: redisUrl(), QUEUE_PREFIX: bench.prefix };
    const { stdout } = await run(process.execPath, ['--no-warnings', file], { env });
    return stdout;
  }

  test('asks for a device, gets it and gives it back; then asks for more than there are; then joins the queue', async () => {
    const [single, many, queue, ...others] = blocksOf(textOf(GUIDE)).filter(({ run: runs }) => runs);
    expect(others).toEqual([]);
    expect(single && (await serviceSays(single))).toMatch(/^alice has [0-9a-f-]{36} until \S+Z\ngave it back: released\n$/);
    expect(many && (await serviceSays(many))).toMatch(/^granted waiting\n(waiting|pending) (waiting|pending) cancelled\n$/);
    expect(queue && (await serviceSays(queue))).toMatch(/^dave is number 1, and may expect a device at \S+Z\nleft: cancelled\n$/);
  });
});

describe('the curl calls of the guide', () => {
  test('answer what is printed below them', async () => {
    const { url } = await bench.start();
    const blocks = blocksOf(textOf(GUIDE));
    const steps = blocks.flatMap((block, index) =>
      block.language === 'sh' ? [{ script: block.text, expected: answerAfter(blocks, index) }] : [],
    );
    const answers = await runSteps(steps.map(({ script }) => script.replaceAll('http://localhost:30002', url)));
    expect(steps.filter(({ expected }) => expected !== undefined).length).toBeGreaterThan(4);
    for (const [index, { expected }] of steps.entries()) {
      if (expected !== undefined) expect(withoutChance(JSON.parse(answers[index] ?? ''))).toEqual(withoutChance(JSON.parse(expected)));
    }
    expect(answers).toContainEqual('200\n');
  });
});

describe('the commands of the operator’s guide', () => {
  test('do what is said of them', async () => {
    const { url } = await bench.start();
    const scripts = blocksOf(textOf(OPERATE)).flatMap(({ language, run: runs, text }) => (language === 'sh' && runs ? [text] : []));
    const [looks = '', changes = '', ...others] = await runSteps(scripts, { SCHEDULER_URL: url });
    expect(others).toEqual(['']);
    expect(looks).toMatch(/✓ alice has .*\n(.*\n)*ALLOCATION .*\n(.*\n)*expire .*\n(.*\n)*There is none.*\n(.*\n)*all \d+ hold\n$/);
    expect(changes).toMatch(/^✓ extended by 30 min\n(.*\n)*✓ released\n/);
  });
});

/** Runs the steps in one shell, as somebody who pastes them would. */
async function runSteps(steps: readonly string[], variables: Readonly<Record<string, string>> = {}): Promise<string[]> {
  // What `npx cloudphone-scheduler` does inside the project, without asking a registry.
  const npx = `npx() { shift; (cd '${PROJECT}' && '${process.execPath}' cli/bin.js "$@"); }`;
  const script = ['set -euo pipefail', npx, ...steps.map((step) => `${step}\nprintf '\\x1e'`)].join('\n');
  const secrets = { JWT_SECRET: USER_SECRET, SERVICE_TOKEN_SECRET: SERVICE_SECRET, DASHBOARD_PASSWORD: 'not used in this test' };
  const { stdout } = await run('bash', ['-c', script], { cwd: folder, env: { ...process.env, ...secrets, ...variables } });
  return stdout.split('\x1e');
}

function answerAfter(blocks: readonly Block[], index: number): string | undefined {
  const next = blocks[index + 1];
  return next?.language === 'json' ? next.text : undefined;
}

/** Ids, times and durations differ from run to run; everything else must be as it is printed. */
function withoutChance(answer: unknown): unknown {
  return JSON.parse(JSON.stringify(answer), (name, value: unknown) => {
    if (name === 'durationSeconds') return 'seconds';
    if (typeof value !== 'string') return value;
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)) return 'id';
    return /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) ? 'time' : value;
  });
}
