import { z } from 'zod';
import { readAnswer } from '../read-answer.ts';
import type { Session } from '../session.ts';
import { durationWords } from '../time-words.ts';
import { job } from '../verbs/jobs.ts';
import { type Finding, fine } from './finding.ts';

type Job = z.output<typeof job>;

/** So many periods without a run are no delay any more; no job is late before a quarter of a minute. */
const PERIODS = 3;
const PATIENCE_S = 15;
const DAY_S = 86_400;

/** Which process runs a job. */
const WORKERS: Readonly<Record<string, string>> = {
  reservations: 'reservations',
  'reservation-series': 'reservations',
  'outbox-relay': 'relay',
};

/** Whether the scheduled jobs run: a schedule or a worker that is gone makes no sound. */
export async function checkJobs(session: Session): Promise<Finding[]> {
  const { data, at } = await session.ask({ method: 'GET', path: '/scheduler/jobs' });
  const { items } = readAnswer(z.object({ items: z.array(job) }), data);
  const wrong = items.flatMap((one) => faultOf(one, at) ?? []);
  return wrong.length > 0 ? wrong : [fine('jobs', `all ${items.length} run on time`)];
}

function faultOf(one: Job, now: Date): Finding | undefined {
  const name = `job ${one.name}`;
  if (one.paused) return { name, status: 'warning', says: 'is paused', fix: [`cloudphone-scheduler jobs resume ${one.name}`] };
  if (one.lastError !== null)
    return {
      name,
      status: 'failed',
      says: `its last run failed: ${one.lastError}`,
      fix: ['Mend the cause; it is tried again by itself. The log of its worker says more.'],
    };
  const late = lateness(one, now);
  if (late === undefined) return undefined;
  const worker = WORKERS[one.name] ?? 'maintenance';
  return {
    name,
    status: 'failed',
    says: late,
    fix: [`Start one: node workers/${worker}/main.ts. If it runs, read its log, and look at Redis.`],
  };
}

/** Why a job counts as late, if it does. A first run has until its next one is due. */
function lateness({ every = DAY_S, lastRunAt, nextRunAt, running }: Job, now: Date): string | undefined {
  if (running) return undefined;
  const patience = Math.max(PATIENCE_S, PERIODS * every);
  const since = lastRunAt === null ? undefined : (now.getTime() - new Date(lastRunAt).getTime()) / 1_000;
  const overdue = nextRunAt === null ? undefined : (now.getTime() - new Date(nextRunAt).getTime()) / 1_000;
  if (since !== undefined && since > patience) return `has not run for ${durationWords(since)}; it is due every ${durationWords(every)}`;
  if (overdue !== undefined && overdue > PATIENCE_S && since === undefined) return 'has never run, and is overdue';
  return since === undefined && overdue === undefined ? 'has never run, and has no schedule: no worker put it into Redis' : undefined;
}

/** Whether something was given up that somebody should look at. */
export async function checkDeadLetters(session: Session): Promise<Finding> {
  const { data } = await session.ask({ method: 'GET', path: '/scheduler/dead-letters', query: { limit: 1 } });
  const { total } = readAnswer(z.object({ total: z.int() }), data);
  if (total === 0) return fine('dead letters', 'there is none');
  const fix = ['cloudphone-scheduler dead-letters list', 'Mend the cause, then: cloudphone-scheduler dead-letters retry'];
  return { name: 'dead letters', status: 'warning', says: `${total} could not be delivered and wait for somebody`, fix };
}
