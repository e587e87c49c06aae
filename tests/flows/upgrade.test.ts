import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Job, Queue } from 'bullmq';
import { readMigrations } from '../../prisma/migrate.ts';
import { deliverPayload } from '../../queues/jobs/deliver.ts';
import { QUEUES } from '../../queues/names.ts';
import { consumedAction } from '../../shared/consumed/action.ts';
import { readTolerantly } from '../../shared/read-tolerantly.ts';
import { type ClusterBench, openClusterBench } from '../support/cluster-bench.ts';
import { eventually } from '../support/eventually.ts';
import { narrowingsOf } from '../support/narrowings.ts';
import { type JobModule, type RecordedJob, readJobModules, recordedJobs, recordedVersions } from '../support/payloads/read-payloads.ts';
import { redisUrl } from '../support/redis.ts';

const VERSIONS = recordedVersions();
/** The first run of a job that stands for a dead letter fails with the letter's reason: that is how it is seen on the board. */
const FAILS_BY_DESIGN = 'dead-letter';

let modules: readonly JobModule[];
beforeAll(async () => {
  modules = await readJobModules();
});

/** The values a field may have that tells the members of a union apart. */
function membersOf(union: { readonly options: readonly unknown[] }, field: string): unknown[] {
  const options = union.options as readonly { readonly _zod: { readonly propValues: Record<string, Set<unknown>> } }[];
  return options.flatMap(({ _zod }) => [...(_zod.propValues[field] ?? [])]).toSorted();
}

describe.each(VERSIONS)('the jobs of version %s', (version) => {
  const recorded = recordedJobs(version);
  const all = [...recorded.values()].flat();

  test('are understood', () => {
    const refused = modules.flatMap(({ file, schema }) =>
      (recorded.get(file) ?? []).filter(({ data }) => !readTolerantly(schema, data).success),
    );
    expect(refused).toEqual([]);
  });

  test('go to handlers that are still there', () => {
    const known = modules.flatMap(({ jobs }) => jobs.map(({ name }) => name));
    expect(all.map(({ name }) => name).filter((name) => !known.includes(name))).toEqual([]);
  });
});

test('every job of today is recorded, of every kind it comes in', () => {
  const recorded = recordedJobs(VERSIONS.toSorted().at(-1) ?? '');
  expect([...recorded.keys()].toSorted()).toEqual(modules.map(({ file }) => file).toSorted());
  for (const { file, jobs } of modules) {
    expect([...new Set(recorded.get(file)?.map(({ name }) => name))].toSorted()).toEqual(jobs.map(({ name }) => name).toSorted());
  }
  const valuesOf = (file: string, read: (data: never) => unknown) => [
    ...new Set(recorded.get(file)?.map(({ data }) => read(data as never))),
  ];
  expect(valuesOf('event', ({ action }: { action: { action: string } }) => action.action).toSorted()).toEqual(
    membersOf(consumedAction, 'action'),
  );
  expect(valuesOf('deliver', ({ kind }: { kind: string }) => kind).toSorted()).toEqual(membersOf(deliverPayload, 'kind'));
});

describe('the migrations', () => {
  /** The last one of before the rule. */
  const FROM = '20261124045000';
  const PAGE = 'docs/guides/upgrade.md';

  test('only add to what was there, or stand in the table of those that do more', async () => {
    const { migrationDirectories } = await readMigrations();
    const later = migrationDirectories.filter(({ path }) => path > FROM);
    const found = later.flatMap(({ path, migrationFile: { content } }) =>
      narrowingsOf(content.tag === 'ok' ? content.value : '').map((narrowing) => `${path} | ${narrowing}`),
    );
    const listed = [...readFileSync(PAGE, 'utf8').matchAll(/^\| `(\d{14}_\w+)` \| (.+?) \| \S.* \|$/gm)];
    expect(later.length).toBeGreaterThan(5);
    expect(found.toSorted()).toEqual(listed.map(([, path, narrowing]) => `${path} | ${narrowing}`).toSorted());
  });

  test.each([
    ['DROP TABLE a', 'a: drops a table'],
    ['ALTER TABLE a DROP COLUMN b', 'a: drops a column'],
    ['ALTER TABLE a RENAME COLUMN b TO c', 'a: renames'],
    ['ALTER TABLE a ALTER COLUMN b TYPE bigint', 'a: changes a type'],
    ['ALTER TABLE a ALTER b SET NOT NULL', 'a: forbids null'],
    ['ALTER TABLE a ADD COLUMN b text NOT NULL', 'a: adds a column that old processes do not fill'],
    ['ALTER TABLE a ADD COLUMN x int NOT NULL DEFAULT 0,\n ADD COLUMN b text NOT NULL', 'a: adds a column that old processes do not fill'],
    ['-- why\nALTER TABLE a ADD CONSTRAINT b CHECK (c > 0)', 'a: adds a constraint'],
    ['CREATE UNIQUE INDEX b ON a (c)', 'a: allows each value once'],
    ['DELETE FROM a', 'a: removes rows'],
  ])('%j narrows', (sql, narrowing) => {
    expect(narrowingsOf(sql)).toEqual([narrowing]);
  });

  test.each([
    'ALTER TABLE a ADD COLUMN b text',
    'ALTER TABLE a ADD COLUMN b integer NOT NULL DEFAULT 0',
    'ALTER TABLE a ALTER COLUMN b DROP NOT NULL',
    'CREATE INDEX b ON a (c)',
    'CREATE TABLE a (b text NOT NULL); CREATE UNIQUE INDEX c ON a (b); ALTER TABLE a ADD CONSTRAINT d CHECK (b <> $$;$$)',
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM a; RETURN NEW; END $$; UPDATE a SET b = 'DROP TABLE'",
  ])('%j does not', (sql) => {
    expect(narrowingsOf(sql)).toEqual([]);
  });
});

/** A whole cluster has to start beside the rest of the suite. */
const PATIENCE_MS = 90_000;

describe('the processes of today', () => {
  let bench: ClusterBench;
  const queues = new Map<string, Queue>();

  beforeAll(async () => {
    bench = await openClusterBench();
    for (const name of Object.values(QUEUES)) {
      queues.set(name, new Queue(name, { connection: { url: redisUrl() }, prefix: bench.prefix }));
    }
  }, PATIENCE_MS);

  afterAll(async () => {
    for (const queue of queues.values()) await queue.close();
    await bench.close();
  }, 60_000);

  function queueOf(name: string): Queue {
    const queue = queues.get(name);
    if (queue === undefined) throw new Error(`there is no queue ${name}`);
    return queue;
  }

  /** Puts a job into Redis as another version does, and waits until no worker has it any more. @returns nothing if it was taken away since */
  async function run(queue: string, { name, data }: RecordedJob): Promise<Job | undefined> {
    const options = { attempts: 3, removeOnComplete: false, removeOnFail: false };
    const { id = '' } = await queueOf(queue).add(name, data, options);
    return eventually(async () => {
      const job = await queueOf(queue).getJob(id);
      if (job !== undefined && job.finishedOn === undefined) throw new Error(`${name} has not ended`);
      return job;
    }, PATIENCE_MS);
  }

  const toRun = (version: string) =>
    modules.flatMap(({ file, jobs }) =>
      (recordedJobs(version).get(file) ?? []).map((job) => ({ ...job, queue: jobs.find(({ name }) => name === job.name)?.queue ?? '' })),
    );
  const reasonOf = (data: object) => ('reason' in data ? data.reason : undefined);

  async function runAll(version: string, change: (data: object) => object): Promise<void> {
    const ended = await Promise.all(
      toRun(version).map(async ({ queue, name, data }) => ({ name, data, job: await run(queue, { name, data: change(data) }) })),
    );
    // What stands for a dead letter nobody has is taken from the board soon after it has failed.
    const asWanted = ({ name, data, job }: (typeof ended)[number]) =>
      name === FAILS_BY_DESIGN
        ? job === undefined || job.failedReason === reasonOf(data)
        : job !== undefined && job.failedReason === undefined;
    expect(ended.filter((each) => !asWanted(each)).map(({ name, job }) => `${name}: ${job?.failedReason}`)).toEqual([]);
  }

  test.each(VERSIONS)('run every job of version %s', (version) => runAll(version, (data) => data), 2 * PATIENCE_MS);

  test.each(VERSIONS)(
    'run what is as in version %s, and says more than anybody here knows',
    (version) => runAll(version, withMore),
    2 * PATIENCE_MS,
  );

  test('leave a job nobody here understands where it is seen, to be run by who does', async () => {
    const [event] = recordedJobs(VERSIONS[0] ?? '').get('event') ?? [];
    const strange = { ...event?.data, action: { action: 'paint-device', deviceId: crypto.randomUUID() } };
    const unknown = await run(QUEUES.event, { name: 'event', data: strange });
    expect(unknown?.failedReason).toContain('payload is not valid');
    const another = await run(QUEUES.allocate, { name: 'allocate-twice', data: {} });
    expect(another?.failedReason).toBe('no handler for a job named "allocate-twice"');
    for (const job of [unknown, another]) {
      expect(await job?.getState()).toBe('failed');
      expect(job?.data).toEqual(job === unknown ? strange : {});
      await job?.retry();
    }
  });
});

/** The same with a field more in every part, as a newer version may write it. */
function withMore(data: object): object {
  const more = Object.entries(data).map(([key, value]) => [key, Array.isArray(value) ? value.map(grown) : grown(value)]);
  return { ...Object.fromEntries(more), fromTheFuture: { much: true } };
}

function grown(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? withMore(value) : value;
}
