import { messageOf } from '../shared/errors.ts';
import { CliFailure } from './cli-failure.ts';

/** A call that got no answer. */
export interface LostCall {
  readonly error: unknown;
  readonly url: string;
  /** The Idempotency-Key of a write. */
  readonly key: string | undefined;
  readonly requestId: string;
  readonly timeoutMs: number;
}

/** Nothing of the call can have arrived. */
const NEVER_ARRIVED = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'];

/** Says why there was no answer, how to start what is missing, and how to repeat a write that may have been carried out. */
export function unreachable({ error, url, key, requestId, timeoutMs }: LostCall): CliFailure {
  const late = error instanceof Error && error.name === 'TimeoutError';
  const code = codeOf(error);
  const why = late ? `did not answer within ${timeoutMs / 1_000} s` : `cannot be reached (${code ?? messageOf(rootOf(error))})`;
  const unsure = key !== undefined && !NEVER_ARRIVED.includes(code ?? '');
  return new CliFailure({
    exit: 'unreachable',
    code: late ? 'TIMEOUT' : 'UNREACHABLE',
    messages: [`The API at ${url} ${why}.`],
    hints: [
      ...(code === 'ECONNREFUSED' ? ['Start it: `npm start` for development, `docker compose up` or `node api/main.ts` otherwise.'] : []),
      ...(code === 'ENOTFOUND' || code === 'EAI_AGAIN' ? ['There is no host of that name.'] : []),
      'Another address is said with --url or SCHEDULER_URL.',
      ...(unsure ? [`It may have been carried out. To repeat it safely, add --idempotency-key ${key}`] : []),
    ],
    requestId,
    cause: error,
  });
}

/** fetch hides the reason in `cause`, and several tried addresses in `errors`. */
function rootOf(error: unknown): unknown {
  if (error instanceof AggregateError) return rootOf(error.errors[0]);
  return error instanceof Error && error.cause !== undefined ? rootOf(error.cause) : error;
}

function codeOf(error: unknown): string | undefined {
  const root = rootOf(error);
  return typeof root === 'object' && root !== null && 'code' in root && typeof root.code === 'string' ? root.code : undefined;
}
