/**
 * How long finished jobs stay in Redis. All three parts are always given: `age` (s) and `count` bound what stays,
 * `limit` bounds what one completion may remove, since an age alone can block Redis while it clears a backlog.
 */
export interface Retention {
  readonly age: number;
  readonly count: number;
  readonly limit: number;
}

/** How a job is retried. */
export interface RetryOptions {
  readonly attempts: number;
  readonly backoff: { readonly type: 'exponential' | 'fixed'; readonly delay: number; readonly jitter?: number };
}

/** How a job is retried and kept: BullMQ's job options, written once per job. */
export interface JobOptions extends RetryOptions {
  readonly removeOnComplete: Retention;
  readonly removeOnFail: Retention;
}
