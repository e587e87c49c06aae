import { ERRORS, isErrorCode } from '../shared/errors.ts';
import type { ExitName } from './exit-codes.ts';

/** What to do about a code, where there is more to say than the catalogue's advice. */
const HINTS: Readonly<Record<string, string>> = {
  UNAUTHENTICATED: 'Give a valid one with --token or SCHEDULER_TOKEN; `cloudphone-scheduler token --help` makes one in development.',
  FORBIDDEN: 'Use the token of an admin, or of a service in SERVICE_ALLOW_LIST of the API.',
  NO_DEVICE_AVAILABLE: 'Add --queue to wait for one, or look at `cloudphone-scheduler list`.',
  NO_MATCHING_DEVICE: 'Ask for less, or look at `cloudphone-scheduler devices available`.',
  STALE_FENCE: 'The device has a newer allocation: look at `cloudphone-scheduler list --device <id>`.',
  DEVICE_HELD: 'Release its allocation first: `cloudphone-scheduler list --device <id>`.',
  STORE_UNAVAILABLE: '`cloudphone-scheduler doctor` looks at Postgres.',
  QUEUE_UNAVAILABLE: '`cloudphone-scheduler doctor` looks at Redis and the workers.',
  INTERNAL: 'The request id leads to the log lines of the API.',
};

/** How a field of the API is said on the command line. */
const OPTION_OF: Readonly<Record<string, string>> = {
  additionalMinutes: '--by',
  deviceType: '--type',
  durationMinutes: '--for',
  maxWaitMinutes: '--max-wait',
  reservedStartTime: '--start',
  startTimeFrom: '--from',
  startTimeTo: '--to',
  tenantId: '--tenant',
  userId: '--user, or the user that was named',
  userTier: '--tier',
};

const ADVICE = {
  never: undefined,
  later: 'Asking again later can succeed.',
  'after-change': undefined,
} as const;

/** How the command ends for an answer of the API that is no success. */
export function exitOf(statusCode: number): ExitName {
  if (statusCode === 401) return 'denied';
  if (statusCode === 429 || statusCode === 503) return 'later';
  return 'failed';
}

/**
 * What somebody can do about a code, one sentence each.
 *
 * @param retryAfter  seconds, as the API says them
 * @param field       the field of the API that was wrong
 */
export function hintsFor(code: string, retryAfter: number | undefined, field: unknown): string[] {
  const option = typeof field === 'string' && Object.hasOwn(OPTION_OF, field) ? `${field} is said with ${OPTION_OF[field]}.` : undefined;
  const wait = retryAfter === undefined ? undefined : `Ask again in ${retryAfter} s.`;
  const advice = isErrorCode(code) ? ADVICE[ERRORS[code].retry] : undefined;
  return [option, HINTS[code], wait ?? (HINTS[code] === undefined ? advice : undefined)].filter((hint) => hint !== undefined);
}
