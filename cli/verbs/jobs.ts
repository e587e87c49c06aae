import { Argument, type Command } from 'commander';
import { z } from 'zod';
import { ALL_SCHEDULES } from '../../queues/schedules.ts';
import { readAnswer } from '../read-answer.ts';
import type { Host, Session } from '../session.ts';
import { showList } from '../show-list.ts';
import type { Column } from '../table.ts';
import { durationWords } from '../time-words.ts';
import { acting, repeatable } from '../verb.ts';

/** A scheduled job as the API tells it. */
export const job = z.object({
  name: z.string(),
  every: z.number().optional(),
  cron: z.string().optional(),
  timeZone: z.string().optional(),
  lastRunAt: z.string().nullable(),
  nextRunAt: z.string().nullable(),
  lastDurationMs: z.int().nullable(),
  lastResult: z.record(z.string(), z.unknown()).nullable(),
  lastError: z.string().nullable(),
  running: z.boolean(),
  paused: z.boolean(),
});

type Job = z.output<typeof job>;

const list = z.object({ items: z.array(z.unknown()), total: z.int() });

/** `jobs`: the scheduled jobs. */
export function jobsVerb(program: Command, host: Host): void {
  const jobs = program.command('jobs').summary('the scheduled jobs: list, run, pause, resume').description('The scheduled jobs.');
  acting(jobs.command('list', { isDefault: true }).description('Lists the jobs and how their last runs went.'), host, showJobs);
  change(jobs, host, 'run', 'Runs a job now, also while it is paused.', 'was handed to the workers');
  change(jobs, host, 'pause', 'Pauses a job until it is resumed, whatever restarts.', 'is paused');
  change(jobs, host, 'resume', 'Lets a paused job go on.', 'goes on');
}

async function showJobs(session: Session): Promise<void> {
  const { data, at } = await session.ask({ method: 'GET', path: '/scheduler/jobs' });
  const { items, total } = readAnswer(list, data);
  showList(
    session,
    { items, total, nextCursor: null, at },
    { shape: job, columns: (now) => columns(session, now), none: 'There is no job.' },
  );
}

function columns({ screen }: Session, now: Date): Column<Job>[] {
  const { paint } = screen;
  return [
    { head: 'job', value: (row) => row.name },
    { head: 'every', value: everyWords, right: true },
    {
      head: 'state',
      value: stateOf,
      paint: (text) => (text === 'failed' ? paint.red(text) : text === 'paused' ? paint.yellow(text) : paint.green(text)),
    },
    { head: 'last run', value: (row) => screen.moment(row.lastRunAt, now) || 'never' },
    { head: 'took', value: (row) => (row.lastDurationMs === null ? '' : `${row.lastDurationMs} ms`), right: true },
    { head: 'next run', value: (row) => screen.moment(row.nextRunAt, now), extra: 1 },
    { head: 'said', value: (row) => row.lastError ?? resultWords(row), extra: 2 },
  ];
}

function everyWords({ every, cron, timeZone }: Job): string {
  if (every !== undefined) return durationWords(every);
  const daily = /^(\d+) (\d+) \* \* \*$/.exec(cron ?? '');
  return daily === null ? (cron ?? '') : `${daily[2]?.padStart(2, '0')}:${daily[1]?.padStart(2, '0')} ${timeZone ?? ''}`;
}

function stateOf({ paused, lastError, running }: Job): string {
  if (paused) return 'paused';
  if (lastError !== null) return 'failed';
  return running ? 'running' : 'ok';
}

function resultWords({ lastResult }: Job): string {
  return Object.entries(lastResult ?? {})
    .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
    .join(', ');
}

function change(jobs: Command, host: Host, name: 'run' | 'pause' | 'resume', description: string, done: string): void {
  const names = ALL_SCHEDULES.map((schedule) => schedule.name);
  const command = jobs.command(name).description(description).addArgument(new Argument('<job>', 'name of the job').choices(names));
  acting<{ idempotencyKey?: string }>(repeatable(command), host, async (session, { idempotencyKey }, named = '') => {
    const { data } = await session.ask({ method: 'POST', path: `/scheduler/jobs/${named}/${name}`, idempotencyKey });
    session.answer(data, () => `${session.screen.paint.green('✓')} ${named} ${done}`);
  });
}
