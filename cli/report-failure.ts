import { messageOf } from '../shared/errors.ts';
import { CliFailure, type FailureFacts } from './cli-failure.ts';
import { EXIT_CODES } from './exit-codes.ts';
import type { Screen } from './screen.ts';
import { onOneLine } from './text-width.ts';

/** Whatever was thrown, as facts. */
export function factsOf(thrown: unknown): FailureFacts {
  if (thrown instanceof CliFailure) return thrown.facts;
  return { exit: 'failed', code: 'FAILED', messages: [messageOf(thrown)], cause: thrown };
}

/** A failure as one JSON document. */
export function failureDocument({ exit, code, messages, hints = [], statusCode, requestId, details, retryAfter }: FailureFacts): string {
  const error = { code, message: messages, hints, statusCode, requestId, details, retryAfter, exitCode: EXIT_CODES[exit].code };
  return JSON.stringify({ error }, null, 2);
}

/** A failure for people: what was wrong, the data to act on, what to do, and what to tell whoever looks into the logs. */
export function failureText({ code, messages, hints = [], requestId, details = {} }: FailureFacts, screen: Screen): string {
  const { paint } = screen;
  const [first = '', ...more] = messages.map(onOneLine);
  const label = code === 'USAGE' ? 'error' : code;
  // The field is named in the sentence already, and the request below.
  const data = Object.entries(details).filter(([name]) => !['field', 'fields', 'requestId'].includes(name));
  const width = Math.max(0, ...data.map(([name]) => name.length));
  return [
    `${paint.red(paint.bold(label))}  ${first}`,
    ...more.map((message) => `  ${message}`),
    ...data.map(([name, value]) => `  ${paint.dim(onOneLine(name).padEnd(width))}  ${onOneLine(shown(value, screen))}`),
    ...hints.map((hint) => `${paint.cyan('→')} ${hint}`),
    ...(requestId === undefined ? [] : [paint.dim(`request ${requestId}`)]),
  ].join('\n');
}

/** Instants by the local clock, texts as they are, the rest as JSON. */
function shown(value: unknown, screen: Screen): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  return /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) ? screen.moment(value, new Date()) : value;
}
