/**
 * The catalogue of everything this product may answer besides success.
 *
 * One row a code: the HTTP status it becomes, whether asking again can help, and the sentence people read.
 * `docs/errors.md` is generated from this table and held equal to it by a test.
 */

/** Whether repeating the same call can succeed without the caller changing anything. */
export type RetryAdvice = 'never' | 'later' | 'after-change';

interface ErrorRow {
  readonly status: number;
  readonly retry: RetryAdvice;
  readonly message: string;
}

export const ERRORS = {
  VALIDATION_FAILED: { status: 400, retry: 'after-change', message: 'The request is not valid.' },
  IDEMPOTENCY_KEY_INVALID: { status: 400, retry: 'after-change', message: 'Idempotency-Key must have 1..255 characters.' },
  UNAUTHENTICATED: { status: 401, retry: 'after-change', message: 'A valid token is needed.' },
  INSUFFICIENT_BALANCE: { status: 402, retry: 'after-change', message: 'The balance of the account does not allow an allocation.' },
  ACCOUNT_IN_ARREARS: { status: 402, retry: 'after-change', message: 'The account is in arrears; it is unblocked once paid.' },
  FORBIDDEN: { status: 403, retry: 'never', message: 'This caller may not do that.' },
  QUOTA_EXCEEDED: { status: 403, retry: 'after-change', message: 'The quota of the user is used up.' },
  QUOTA_NOT_FOUND: { status: 403, retry: 'after-change', message: 'The user has no quota.' },
  QUOTA_EXPIRED: { status: 403, retry: 'after-change', message: 'The quota of the user is outside its validity.' },
  EXTEND_COUNT_REACHED: { status: 403, retry: 'never', message: 'The allocation was extended as often as its tier allows.' },
  EXTEND_TOTAL_REACHED: { status: 403, retry: 'after-change', message: 'The allocation would last longer than its tier allows.' },
  USER_SUSPENDED: { status: 403, retry: 'after-change', message: 'The user is suspended.' },
  USER_DELETED: { status: 403, retry: 'never', message: 'The user is deleted.' },
  NOT_FOUND: { status: 404, retry: 'never', message: 'There is no such resource.' },
  REQUEST_NOT_FOUND: { status: 404, retry: 'never', message: 'There is no such request.' },
  QUEUE_ENTRY_NOT_FOUND: { status: 404, retry: 'never', message: 'There is no such entry in the queue.' },
  ALLOCATION_NOT_FOUND: { status: 404, retry: 'never', message: 'There is no such allocation.' },
  RESERVATION_NOT_FOUND: { status: 404, retry: 'never', message: 'There is no such reservation.' },
  STRATEGY_NOT_FOUND: { status: 404, retry: 'never', message: 'There is no such strategy.' },
  DEAD_LETTER_NOT_FOUND: { status: 404, retry: 'never', message: 'There is no such dead letter.' },
  DEVICE_NOT_FOUND: { status: 404, retry: 'never', message: 'There is no such device.' },
  METHOD_NOT_ALLOWED: { status: 405, retry: 'never', message: 'This route does not take that method.' },
  ALREADY_QUEUED: { status: 409, retry: 'after-change', message: 'The user is in the queue already.' },
  NO_DEVICE_AVAILABLE: { status: 409, retry: 'later', message: 'Every matching device is busy.' },
  NO_MATCHING_DEVICE: { status: 409, retry: 'after-change', message: 'No device of the fleet could ever match.' },
  NO_CAPACITY: { status: 409, retry: 'after-change', message: 'No matching device can be reserved for that time.' },
  RESERVATION_CONFLICT: { status: 409, retry: 'after-change', message: 'The user has reserved something at that time.' },
  NO_SHOW: { status: 409, retry: 'never', message: 'Nobody came for the reserved device.' },
  EXTEND_TOO_EARLY: { status: 409, retry: 'later', message: 'The allocation can be extended only shortly before it ends.' },
  RESERVED_BY_OTHER: { status: 409, retry: 'after-change', message: 'The device is reserved from then on.' },
  STALE_FENCE: { status: 409, retry: 'never', message: 'The fence is older than the fence of the device.' },
  REQUEST_DECIDED: { status: 409, retry: 'never', message: 'The request is decided already.' },
  REQUEST_CANCELLED: { status: 409, retry: 'never', message: 'The request was cancelled.' },
  REQUEST_TIMED_OUT: { status: 409, retry: 'later', message: 'No device became free within the longest wait.' },
  BATCH_ABORTED: { status: 409, retry: 'later', message: 'Not granted, because another request of the batch got no device.' },
  STRATEGY_ACTIVE: { status: 409, retry: 'after-change', message: 'The strategy is in force; activate another one first.' },
  STRATEGY_NAME_TAKEN: { status: 409, retry: 'after-change', message: 'Another strategy has this name.' },
  STATE_CONFLICT: { status: 409, retry: 'never', message: 'The resource is not in a state that allows this.' },
  ALLOCATION_ENDED: { status: 410, retry: 'never', message: 'The allocation has ended.' },
  PAYLOAD_TOO_LARGE: { status: 413, retry: 'after-change', message: 'The body is too large.' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, retry: 'after-change', message: 'The content type of the body is not supported.' },
  IDEMPOTENCY_KEY_REUSED: { status: 422, retry: 'after-change', message: 'The Idempotency-Key was used with another body.' },
  EXTEND_COOLDOWN: { status: 429, retry: 'later', message: 'The allocation was extended a moment ago.' },
  RATE_LIMITED: { status: 429, retry: 'later', message: 'Too many requests.' },
  INTERNAL: { status: 500, retry: 'later', message: 'Something went wrong on our side; the request id finds it in our logs.' },
  QUOTA_UNAVAILABLE: { status: 503, retry: 'later', message: 'The quota cannot be checked at the moment.' },
  BILLING_UNAVAILABLE: { status: 503, retry: 'later', message: 'The balance cannot be checked at the moment.' },
  STORE_UNAVAILABLE: { status: 503, retry: 'later', message: 'The database cannot be reached at the moment.' },
  QUEUE_UNAVAILABLE: { status: 503, retry: 'later', message: 'The queue cannot be reached at the moment.' },
  OVERLOADED: { status: 503, retry: 'later', message: 'Too much is waiting already.' },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** Data a caller can act on: limits, conflicts, the name of a field. Never secrets, stacks or SQL. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** A fault or refusal with a code of the catalogue. Carries the foreign error, if any, as `cause`. */
export class SchedulerError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails | undefined;
  readonly messages: readonly string[];
  /** Seconds after which asking again makes sense, for 429 and 503. */
  readonly retryAfter: number | undefined;
  readonly #status: number | undefined;

  /**
   * @param code     a code of the catalogue; status and default sentence follow from it
   * @param options  `messages` replaces the catalogue's sentence; `details` is given to the caller;
   *                 `retryAfter` in seconds; `cause` is the foreign error; `status` where a route answers the code with another
   */
  constructor(
    code: ErrorCode,
    options: { messages?: readonly string[]; details?: ErrorDetails; retryAfter?: number; cause?: unknown; status?: number } = {},
  ) {
    const messages = options.messages ?? [ERRORS[code].message];
    super(messages.join(' '), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SchedulerError';
    this.code = code;
    this.details = options.details;
    this.messages = messages;
    this.retryAfter = options.retryAfter;
    this.#status = options.status;
  }

  /** The HTTP status. */
  get statusCode(): number {
    return this.#status ?? ERRORS[this.code].status;
  }
}

/** Narrows a text (from a row or a job) to a code of the catalogue. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERRORS, text);
}

/** The one way to turn an unknown thrown thing into readable text: its message, or its string form. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
