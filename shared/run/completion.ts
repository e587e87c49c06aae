import type { ConnectionLog, RedisClient } from './redis.ts';

/** One outcome on its way to whoever waits for it. */
export interface OutcomeMessage {
  /** The instance that waits: the `replyTo` of the job. */
  readonly replyTo: string;
  /** Request, release or cancellation id. */
  readonly id: string;
  readonly outcome: unknown;
}

const channelOf = (prefix: string, instance: string) => `${prefix}:done:${instance}`;

/**
 * Says outcomes to the instances that wait for them: one message per instance, one round trip in all.
 * A message may get lost (nobody listening, Redis restarting): the row, or the job's return value, is the truth.
 *
 * @param redis  a connection that fails fast
 * @throws whatever Redis reports; the caller logs it and goes on, since waiters look at the truth as well
 */
export async function publishOutcomes(redis: RedisClient, prefix: string, messages: readonly OutcomeMessage[]): Promise<void> {
  const byInstance = Map.groupBy(messages, ({ replyTo }) => replyTo);
  await Promise.all(
    [...byInstance].map(([instance, group]) =>
      redis.publish(channelOf(prefix, instance), JSON.stringify(group.map(({ id, outcome }) => [id, outcome]))),
    ),
  );
}

/** Where the outcome of a request is found whose job ended before it was decided. */
export const keptOutcomePrefix = (prefix: string) => `${prefix}:outcome:`;

/** As long as finished jobs, s. */
const KEPT_S = 600;

/**
 * Keeps outcomes of requests whose job has said "waiting" and is over, or will be in a moment: who looks at the job later
 * finds them instead. Losing this loses no outcome, the row holds it: a Redis that is away is logged.
 */
export async function keepOutcomes(
  redis: RedisClient,
  prefix: string,
  outcomes: readonly { readonly id: string; readonly outcome: unknown }[],
  logger: ConnectionLog,
): Promise<void> {
  const kept = outcomes.map(({ id, outcome }) => redis.set(`${keptOutcomePrefix(prefix)}${id}`, JSON.stringify(outcome), 'EX', KEPT_S));
  for (const result of await Promise.allSettled(kept)) {
    if (result.status === 'rejected') logger.warn({ err: result.reason }, 'an outcome could not be kept');
  }
}

export interface OutcomeListener {
  /**
   * Waits for the outcome of `id`. Call it before the job is enqueued, or it may come too early.
   *
   * @returns the outcome as it was published, or undefined after `timeoutMs`, on `signal` or on close
   */
  wait(id: string, timeoutMs: number, signal?: AbortSignal): Promise<unknown>;
  /** Lets everybody go who waits, at once. The subscription ends with its connection: Redis may be gone, and is not asked. */
  close(): void;
}

/**
 * Listens for the outcomes of one instance.
 *
 * @param subscriber  a `subscriber` connection of its own; the caller closes it
 * @param instance    a name nobody else uses, given as `replyTo` in jobs
 */
export async function createOutcomeListener(
  subscriber: RedisClient,
  prefix: string,
  instance: string,
  logger: ConnectionLog,
): Promise<OutcomeListener> {
  const waiters = new Map<string, Set<(outcome?: unknown) => void>>();
  const channel = channelOf(prefix, instance);

  const hear = (from: string, text: string) => {
    if (from !== channel) return;
    const pairs = pairsOf(text);
    if (pairs === undefined) logger.warn({ channel }, 'an outcome message is not readable');
    for (const [id, outcome] of pairs ?? []) for (const settle of waiters.get(id) ?? []) settle(outcome);
  };
  subscriber.on('message', hear);
  await subscriber.subscribe(channel);

  function wait(id: string, timeoutMs: number, signal?: AbortSignal): Promise<unknown> {
    if (signal?.aborted === true || timeoutMs <= 0) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const settle = (outcome?: unknown) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', giveUp);
        forget(id, settle);
        resolve(outcome);
      };
      const giveUp = () => settle();
      const timer = setTimeout(giveUp, timeoutMs);
      signal?.addEventListener('abort', giveUp);
      waiters.set(id, (waiters.get(id) ?? new Set()).add(settle));
    });
  }

  function forget(id: string, settle: (outcome?: unknown) => void): void {
    const same = waiters.get(id);
    same?.delete(settle);
    if (same?.size === 0) waiters.delete(id);
  }

  function close(): void {
    subscriber.off('message', hear);
    for (const same of waiters.values()) for (const settle of same) settle();
  }

  return { wait, close };
}

function pairsOf(text: string): [string, unknown][] | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed.filter(isPair) : undefined;
  } catch {
    return undefined;
  }
}

function isPair(value: unknown): value is [string, unknown] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string';
}
