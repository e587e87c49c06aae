import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { QUEUES } from '../../../queues/names.ts';
import { RELAY_SCHEDULES, RESERVATION_SCHEDULES, SCHEDULES } from '../../../queues/schedules.ts';
import type { Checker } from '../../../shared/read-tolerantly.ts';

const FOLDER = 'tests/support/payloads';

/** A job as a version of the product has put it into Redis. */
export interface RecordedJob {
  readonly name: string;
  readonly data: object;
}

/** A file of `queues/jobs`: what it says its jobs look like, and in which queue each is found. */
export interface JobModule {
  readonly file: string;
  readonly schema: Checker<unknown>;
  readonly jobs: readonly { readonly name: string; readonly queue: string }[];
}

const scheduled = (queue: string, schedules: readonly { readonly name: string }[]) => schedules.map(({ name }) => ({ name, queue }));

/** Jobs of schedules have no name in their file. */
const OF_SCHEDULES: Readonly<Record<string, JobModule['jobs']>> = {
  maintenance: scheduled(QUEUES.maintenance, SCHEDULES),
  reservations: scheduled(QUEUES.reservations, RESERVATION_SCHEDULES),
  'outbox-relay': scheduled(QUEUES.relay, RELAY_SCHEDULES),
};

/** Versions whose payloads are recorded. */
export function recordedVersions(): string[] {
  return readdirSync(FOLDER, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

/** What a version put into Redis, by the file of its jobs. */
export function recordedJobs(version: string): ReadonlyMap<string, readonly RecordedJob[]> {
  const files = readdirSync(`${FOLDER}/${version}`);
  return new Map(files.map((file) => [basename(file, '.json'), JSON.parse(readFileSync(`${FOLDER}/${version}/${file}`, 'utf8'))]));
}

/** Every file of `queues/jobs` as it is today. */
export function readJobModules(): Promise<JobModule[]> {
  const files = readdirSync('queues/jobs').map((file) => basename(file, '.ts'));
  return Promise.all(
    files.map(async (file) => {
      const exported = Object.entries((await import(`../../../queues/jobs/${file}.ts`)) as Record<string, unknown>);
      const find = (ending: string) => exported.find(([name]) => name.endsWith(ending))?.[1];
      return { file, schema: find('Payload') as Checker<unknown>, jobs: OF_SCHEDULES[file] ?? jobsOf(find('Job')) };
    }),
  );
}

type Named = { readonly name: string; readonly queue: string };

function jobsOf(job: unknown): Named[] {
  const said = job as Named | { readonly of: Readonly<Record<string, Named>> };
  return 'of' in said ? Object.values(said.of) : [{ name: said.name, queue: said.queue }];
}
