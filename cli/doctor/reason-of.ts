import { messageOf } from '../../shared/errors.ts';
import { onOneLine } from '../text-width.ts';

/** The innermost reason of a failure, on one line: what was wrapped says more than what wraps it. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  if (error instanceof Error && error.cause !== undefined) return reasonOf(error.cause);
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  const message = messageOf(error);
  return onOneLine(message === '' ? code : message);
}
