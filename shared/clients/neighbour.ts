/** A service we call. Times in ms; `baseUrl` may carry a path prefix. */
export interface Neighbour {
  readonly name: 'user' | 'billing' | 'notification';
  readonly baseUrl: string;
  /** Longest call, retries included. */
  readonly timeoutMs: number;
  /** Repeats after the first attempt. */
  readonly retries: number;
}

/** The table of the neighbours: how long a call may take and how often it is repeated. */
export const NEIGHBOURS = {
  user: { name: 'user', timeoutMs: 5_000, retries: 3 },
  billing: { name: 'billing', timeoutMs: 8_000, retries: 3 },
  notification: { name: 'notification', timeoutMs: 5_000, retries: 2 },
} as const satisfies Record<Neighbour['name'], Omit<Neighbour, 'baseUrl'>>;

/** What every call takes from its caller. */
export interface CallContext {
  /** Milliseconds the caller has left; the call never takes longer, whatever its own timeout says. */
  readonly deadlineMs: number;
  /** Goes out as `X-Request-ID` and `traceparent`. */
  readonly traceId?: string | undefined;
}

/** No usable answer: the neighbour is down, slow, malformed, limiting us, or its breaker is open. */
export interface Unavailable {
  readonly kind: 'unavailable';
  readonly reason: string;
  /** The neighbour was not asked at all (breaker open, no time left), so the attempt does not count. */
  readonly asked: boolean;
  /** What the neighbour wants us to wait, ms, if it said so. */
  readonly retryAfterMs?: number | undefined;
}

/** The neighbour understood and said no. */
export interface RefusedCall {
  readonly kind: 'refused';
  readonly status: number;
  readonly reason: string;
}

export type CallAnswer<T> = { readonly kind: 'ok'; readonly value: T } | RefusedCall | Unavailable;
