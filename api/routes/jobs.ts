import { z } from 'zod';
import { ALL_SCHEDULES, type Recurrence, type ScheduledJobName } from '../../queues/schedules.ts';
import { SchedulerError } from '../../shared/errors.ts';
import { pauseJob, readRuns, type ScheduledJobRow } from '../../shared/store/scheduled-runs.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { type Api, errorAnswers, noBody, noQuery, shortText } from '../route-schema.ts';

const instant = z.string().describe('ISO 8601, UTC');

const job = z.object({
  name: z.string(),
  every: z.number().optional().describe('Seconds from one run to the next'),
  cron: z.string().optional(),
  timeZone: z.string().optional().describe('Of `cron`'),
  lastRunAt: instant.nullable(),
  nextRunAt: instant.nullable().describe('`null` while it is paused'),
  lastDurationMs: z.int().nullable(),
  lastResult: z.record(z.string(), z.unknown()).nullable().describe('Of the last run that was completed'),
  lastError: z.string().nullable().describe('What the last run failed with, if it did'),
  running: z.boolean(),
  paused: z.boolean(),
});

const params = z.strictObject({ name: shortText });

/** The scheduled jobs: how they went, and running, pausing and resuming them. */
export function jobRoutes(api: Api, deps: ServerDeps): void {
  api.get(
    '/scheduler/jobs',
    {
      config: { access: 'administrative', budget: 'read' },
      schema: {
        tags: ['Operations'],
        summary: 'The scheduled jobs and how their last runs went',
        querystring: noQuery,
        response: { 200: successOf(z.object({ items: z.array(job), total: z.int(), nextCursor: z.null() })), ...errorAnswers() },
      },
    },
    async (request) => {
      const items = await listJobs(deps);
      return success(request, { items, total: items.length, nextCursor: null });
    },
  );

  const change = (verb: string, summary: string, description: string, apply: (name: ScheduledJobName, by: string) => Promise<void>) =>
    api.post(
      `/scheduler/jobs/:name/${verb}`,
      {
        config: { access: 'administrative', budget: 'write' },
        schema: {
          tags: ['Operations'],
          summary,
          description,
          params,
          querystring: noQuery,
          body: noBody,
          response: { 200: successOf(job), ...errorAnswers(404, 422) },
        },
      },
      async (request) => {
        const known = ALL_SCHEDULES.find(({ name }) => name === request.params.name);
        if (known === undefined) throw new SchedulerError('NOT_FOUND', { messages: ['There is no such job.'] });
        await apply(known.name, request.caller.key);
        const changed = (await listJobs(deps)).find(({ name }) => name === known.name);
        if (changed === undefined) throw new Error(`${known.name} is not among the jobs`);
        return success(request, changed);
      },
    );
  change('run', 'Run a job now', 'It is handed to the workers, also while it is paused; how it went is seen in the list.', (name) =>
    deps.producer.runNow(name),
  );
  change(
    'pause',
    'Pause a job',
    'Until it is resumed, whatever restarts. A run under way is finished. It is the schedule that pauses: what is woken by events besides goes on. But of `outbox-relay`: nothing leaves the outbox until it is resumed, from 2 s after the pause on.',
    (name, by) => pauseJob(deps.store, name, by),
  );
  change('resume', 'Let a paused job go on', 'What became due meanwhile is made up for by its next run.', (name) =>
    pauseJob(deps.store, name, undefined),
  );
}

/** Every job there is a schedule for. Redis knows the times in force; without it the usual ones are said. */
async function listJobs({ producer, store, logger }: ServerDeps): Promise<z.output<typeof job>[]> {
  const [states, runs] = await Promise.all([
    producer.schedules().catch((error: unknown) => {
      logger.warn({ err: error }, 'the schedules cannot be read');
      return [];
    }),
    readRuns(store),
  ]);
  return ALL_SCHEDULES.map(({ name, recurrence }) => {
    const state = states.find((each) => each.name === name);
    const run = runs.find((each) => each.job === name);
    return viewJob(name, state?.recurrence ?? recurrence, state?.nextRunAt, run);
  });
}

function viewJob(name: string, recurrence: Recurrence, next: Date | undefined, run: ScheduledJobRow | undefined): z.output<typeof job> {
  const paused = run?.paused ?? false;
  return {
    name,
    ...('everyMs' in recurrence ? { every: recurrence.everyMs / 1_000 } : { cron: recurrence.cron, timeZone: recurrence.tz }),
    lastRunAt: run?.lastRunAt?.toISOString() ?? null,
    nextRunAt: paused ? null : (next?.toISOString() ?? null),
    lastDurationMs: run?.lastDurationMs ?? null,
    lastResult: isRecord(run?.lastResult) ? run.lastResult : null,
    lastError: run?.lastError ?? null,
    running: run?.running ?? false,
    paused,
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
