import { Prisma } from '../../prisma/generated/client.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/*
 * Runs of the scheduled jobs: one row a job says whether it is paused, who runs it now, and how the last run went. Whoever
 * runs it holds the row by a short lease that is renewed, so two runs never overlap and a killed one is soon made up for.
 */

/** The clock of the database as ticks are told, ms since 1970. */
const NOW_MS = Prisma.sql`floor(extract(epoch FROM now()) * 1000)::bigint`;

/** One attempt to run a job. */
export interface RunClaim {
  readonly job: string;
  /** Unique among all processes and runs. */
  readonly holder: string;
  /** The time the schedule meant, ms since 1970; nothing when somebody asked for the run. */
  readonly tick: number | undefined;
  /** How long the row is held without `renewRun`, ms. */
  readonly termMs: number;
}

/**
 * Takes a job for one run. Refused while another run is under way; for a tick also when the job is paused, or when this
 * tick or a later one has been completed: what it was for has been done. One completed in the time to come tells nothing.
 */
export async function claimRun(store: Store, { job, holder, tick, termMs }: RunClaim): Promise<boolean> {
  const meant = tick ?? null;
  const taken = await translated(store.prisma.$executeRaw`
    INSERT INTO scheduled_runs AS r (job, holder, held_until) VALUES (${job}, ${holder}, now() + ${termMs} * interval '1 millisecond')
    ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
    WHERE (r.held_until IS NULL OR r.held_until <= now())
      AND (${meant}::bigint IS NULL OR (r.paused_at IS NULL AND (r.last_tick IS NULL OR r.last_tick < ${meant}::bigint OR r.last_tick > ${NOW_MS})))`);
  return taken === 1;
}

/** Holds on to a run. False: it was lost, and somebody else may be running the job. */
export async function renewRun(store: Store, { job, holder, termMs }: RunClaim): Promise<boolean> {
  const held = await translated(store.prisma.$executeRaw`
    UPDATE scheduled_runs SET held_until = now() + ${termMs} * interval '1 millisecond' WHERE job = ${job} AND holder = ${holder}`);
  return held === 1;
}

/** How a run went: its result, or what it failed with. */
export type RunEnd = { readonly result: unknown } | { readonly error: string };

/**
 * Notes how a run went and lets go of the job. A failed run leaves its tick open: a later one makes up for it. A tick that is
 * ahead of the database's clock, as a worker's clock may be, counts as of now, so that it overtakes none that is still to come.
 *
 * @param durationMs  taken by the run, ms
 */
export async function endRun(store: Store, { job, holder, tick }: RunClaim, durationMs: number, end: RunEnd): Promise<void> {
  const completed = 'result' in end;
  await translated(store.prisma.$executeRaw`
    UPDATE scheduled_runs SET holder = NULL, held_until = NULL, last_run_at = now(), last_duration_ms = ${Math.round(durationMs)}::int,
      last_result = CASE WHEN ${completed} THEN ${completed ? JSON.stringify(end.result) : 'null'}::jsonb ELSE last_result END,
      last_error = ${completed ? null : end.error},
      last_tick = CASE WHEN ${completed && tick !== undefined} THEN least(greatest(last_tick, ${tick ?? null}::bigint), ${NOW_MS}) ELSE last_tick END
    WHERE job = ${job} AND holder = ${holder}`);
}

/** A job as its row tells it. */
export interface ScheduledJobRow {
  readonly job: string;
  readonly lastRunAt: Date | null;
  readonly lastDurationMs: number | null;
  readonly lastResult: unknown;
  readonly lastError: string | null;
  readonly paused: boolean;
  readonly running: boolean;
}

/** Every job that ever ran or was paused. */
export async function readRuns(store: Store): Promise<ScheduledJobRow[]> {
  const rows = await translated(store.prisma.$queryRaw<
    {
      job: string;
      last_run_at: Date | null;
      last_duration_ms: number | null;
      last_result: unknown;
      last_error: string | null;
      paused: boolean;
      running: boolean;
    }[]
  >`
    SELECT job, last_run_at, last_duration_ms, last_result, last_error, paused_at IS NOT NULL AS paused, coalesce(held_until > now(), false) AS running
    FROM scheduled_runs ORDER BY job`);
  return rows.map((row) => ({
    job: row.job,
    lastRunAt: row.last_run_at,
    lastDurationMs: row.last_duration_ms,
    lastResult: row.last_result,
    lastError: row.last_error,
    paused: row.paused,
    running: row.running,
  }));
}

/** Whether a job is paused. */
export async function isPaused(store: Store, job: string): Promise<boolean> {
  const rows = await translated(store.prisma.$queryRaw<{ paused: boolean }[]>`
    SELECT paused_at IS NOT NULL AS paused FROM scheduled_runs WHERE job = ${job}`);
  return rows[0]?.paused ?? false;
}

/**
 * Pauses a job or lets it go on: its schedule ticks, its ticks do nothing. A run under way is finished. What an operator
 * asks for runs all the same.
 *
 * @param by  who paused it, or nobody: it goes on
 */
export async function pauseJob(store: Store, job: string, by: string | undefined): Promise<void> {
  const who = by ?? null;
  await translated(store.prisma.$executeRaw`
    INSERT INTO scheduled_runs AS r (job, paused_at, paused_by) VALUES (${job}, CASE WHEN ${who}::text IS NULL THEN NULL ELSE now() END, ${who})
    ON CONFLICT (job) DO UPDATE SET paused_by = CASE WHEN ${who}::text IS NULL THEN NULL ELSE coalesce(r.paused_by, ${who}::text) END,
      paused_at = CASE WHEN ${who}::text IS NULL THEN NULL ELSE coalesce(r.paused_at, now()) END`);
}
