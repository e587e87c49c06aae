import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import { SchedulerError } from '../shared/errors.ts';
import { keptOutcomePrefix, type OutcomeListener } from '../shared/run/completion.ts';
import type { ConnectionLog } from '../shared/run/redis.ts';
import { OUTCOMES } from './job-scripts.ts';
import type { QueueName } from './names.ts';

/** How long to wait, and whether the caller still wants to know. */
export interface Waiting {
  /** `performance.now()` at which waiting ends. */
  readonly until: number;
  readonly signal: AbortSignal | undefined;
}

/** What a call needs: the truth (job return values in Redis) and the message that says it is there. */
export interface CallParts {
  readonly redis: Redis | Cluster;
  readonly prefix: string;
  readonly listener: OutcomeListener;
  readonly logger: ConnectionLog;
}

/** One kind of job: where it is, how its outcome is recognised, which outcomes are not the last word. */
export interface CallKind<Outcome> {
  readonly queue: QueueName;
  readonly isOutcome: (value: unknown) => value is Outcome;
  readonly isFinal: (outcome: Outcome) => boolean;
}

/** What Redis says of a job. */
type Seen<Outcome> = { readonly kind: 'outcome'; readonly outcome: Outcome } | { readonly kind: 'under-way' | 'missing' };

/** How often the truth is looked at besides listening, ms. */
const LOOK_MS = 1_000;
const RETRY_MS = 100;
const RETRY_MAX_MS = 2_000;

/** Reads what is known of jobs, in one round trip. */
export async function readOutcomes<Outcome>(
  { redis, prefix }: CallParts,
  kind: CallKind<Outcome>,
  ids: readonly string[],
): Promise<Map<string, Seen<Outcome>>> {
  const reply = await OUTCOMES.run(
    redis,
    [`${prefix}:${kind.queue}:meta`],
    [`${prefix}:${kind.queue}:`, keptOutcomePrefix(prefix), ...ids],
  );
  const texts = Array.isArray(reply) ? reply.map(String) : [];
  return new Map(ids.map((id, index) => [id, toSeen(kind, texts[index] ?? 'missing')]));
}

function toSeen<Outcome>(kind: CallKind<Outcome>, text: string): Seen<Outcome> {
  if (text === 'missing' || text === 'under-way') return { kind: text };
  const value: unknown = JSON.parse(text);
  return kind.isOutcome(value) ? { kind: 'outcome', outcome: value } : { kind: 'missing' };
}

/**
 * Enqueues, trying again with the same ids while Redis is away and there is time. An error of Redis means "unknown":
 * the job may exist, and a second one of the same id changes nothing.
 *
 * @throws SchedulerError what `add` threw last
 */
export async function enqueue(add: () => Promise<void>, { until, signal }: Waiting): Promise<void> {
  for (let delay = RETRY_MS; ; delay = Math.min(2 * delay, RETRY_MAX_MS)) {
    try {
      return await add();
    } catch (error) {
      const left = until - performance.now();
      if (!(error instanceof SchedulerError) || error.code !== 'QUEUE_UNAVAILABLE' || left <= delay || signal?.aborted === true)
        throw error;
      await pause(delay, undefined, signal === undefined ? {} : { signal });
    }
  }
}

/**
 * Waits for the outcomes of jobs: the message says it at once, a look at the truth every second makes up for messages
 * that got lost. A job that vanished (Redis emptied) is handed to `addAgain`.
 *
 * @param begin  enqueues the jobs; called once listening has begun, so that no outcome is missed
 * @returns the latest outcome of each id that has one when all are final, time is up or the signal is aborted
 */
export async function awaitOutcomes<Outcome>(
  parts: CallParts,
  kind: CallKind<Outcome>,
  ids: readonly string[],
  waiting: Waiting,
  { begin, addAgain }: { readonly begin: () => Promise<void>; readonly addAgain: (ids: readonly string[]) => Promise<void> },
): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  const finished = new AbortController();
  const ended = waiting.signal === undefined ? finished.signal : AbortSignal.any([finished.signal, waiting.signal]);
  const open = new Set(ids);

  function note(id: string, outcome: Outcome): void {
    if (!open.has(id)) return;
    outcomes.set(id, outcome);
    if (!kind.isFinal(outcome)) return;
    open.delete(id);
    if (open.size === 0) finished.abort();
  }

  async function listen(id: string): Promise<void> {
    while (open.has(id) && !ended.aborted) {
      const left = waiting.until - performance.now();
      const said = await parts.listener.wait(id, left, ended);
      if (said === undefined) return;
      if (kind.isOutcome(said)) note(id, said);
    }
  }

  // A Redis that is away is no outcome: the next look will see.
  async function look(): Promise<void> {
    try {
      const seen = await readOutcomes(parts, kind, [...open]);
      for (const [id, what] of seen) if (what.kind === 'outcome') note(id, what.outcome);
      const missing = [...seen].filter(([, what]) => what.kind === 'missing').map(([id]) => id);
      if (missing.length > 0) await addAgain(missing);
    } catch (error) {
      parts.logger.warn({ err: error }, 'outcomes could not be looked up; tried again');
    }
  }

  const listening = ids.map(listen);
  try {
    await begin();
    while (open.size > 0 && !ended.aborted && performance.now() < waiting.until) {
      await napUntil(Math.min(waiting.until, performance.now() + LOOK_MS), ended);
      if (open.size > 0 && !ended.aborted) await look();
    }
  } finally {
    finished.abort();
    await Promise.all(listening);
  }
  return outcomes;
}

function napUntil(time: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, Math.max(0, time - performance.now()));
    signal.addEventListener('abort', wake);
    if (signal.aborted) wake();
  });
}
