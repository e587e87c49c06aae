import { types } from 'node:util';

const SECRET_NAME =
  /authorization|cookie|credential|passw|secret|token|api[-_]?key|private[-_]?key|adb[-_]?(host|port)|provider[-_]?config|connection[-_]?string/i;

/** Texts that are secrets wherever they stand: signed tokens, passwords inside addresses. */
const SECRET_TEXTS: readonly [RegExp, string][] = [
  [/\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*/g, '[redacted]'],
  [/(\b[a-z][a-z0-9+]*:\/\/[^\s:/@]*:)[^\s/@]+(@)/gi, '$1[redacted]$2'],
];

/** What stands in place of a secret. */
export const REDACTED = '[redacted]';

const DEEPEST = 20;

/**
 * A copy of something from a job with every secret replaced: values under a telling name, tokens and passwords in texts.
 * What is nested deeper than anything of ours is cut off rather than shown unseen.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return SECRET_TEXTS.reduce((text, [pattern, instead]) => text.replace(pattern, instead), value);
  if (typeof value !== 'object' || value === null || types.isDate(value)) return value;
  if (depth === DEEPEST) return REDACTED;
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, isSecret(name, item) ? REDACTED : redact(item, depth + 1)]));
}

/** True when something that was shown redacted comes back: writing it would replace the secret by the mask. */
export function containsRedacted(value: unknown): boolean {
  if (typeof value === 'string') return value.includes(REDACTED);
  return typeof value === 'object' && value !== null && Object.values(value).some(containsRedacted);
}

function isSecret(name: string, value: unknown): boolean {
  return SECRET_NAME.test(name) && value !== null && value !== undefined && value !== '';
}
