import { ALL_SCHEDULES, type Recurrence } from '../queues/schedules.ts';
import { readRuns, type ScheduledJobRow } from '../shared/store/scheduled-runs.ts';
import type { DashboardDeps } from './deps.ts';

/** A scheduled job as the page shows it. */
export interface JobListing extends Omit<ScheduledJobRow, 'job'> {
  readonly name: string;
  readonly recurrence: Recurrence;
  /** Nothing while it is paused, or when Redis does not know. */
  readonly nextRunAt: Date | undefined;
}

/** Every scheduled job, how its last run went and when the next one is. */
export async function listJobs({ producer, store }: Pick<DashboardDeps, 'producer' | 'store'>): Promise<JobListing[]> {
  const [states, runs] = await Promise.all([producer.schedules(), readRuns(store)]);
  return ALL_SCHEDULES.map(({ name, recurrence }) => {
    const state = states.find((each) => each.name === name);
    const { job: _, ...run } = runs.find(({ job }) => job === name) ?? NEVER_RAN;
    return { name, recurrence: state?.recurrence ?? recurrence, nextRunAt: run.paused ? undefined : state?.nextRunAt, ...run };
  });
}

const NEVER_RAN: ScheduledJobRow = {
  job: '',
  lastRunAt: null,
  lastDurationMs: null,
  lastResult: null,
  lastError: null,
  paused: false,
  running: false,
};
