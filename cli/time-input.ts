import { InvalidArgumentError } from 'commander';

const MINUTES: Readonly<Record<string, number>> = { d: 1_440, h: 60, m: 1, min: 1 };
const PART = /(\d+(?:\.\d+)?)\s*(d|h|min|m)/g;

/**
 * Reads a duration such as `90`, `90m`, `1h30m` or `2 h`.
 *
 * @returns minutes
 */
export function minutes(text: string): number {
  const said = text.trim();
  const total = /^\d+$/.test(said) ? Number(said) : sumOf(said);
  if (Number.isInteger(total) && total >= 1) return total;
  throw new InvalidArgumentError('It must be whole minutes: 90, 90m, 2h or 1h30m.');
}

function sumOf(said: string): number {
  if (said.replaceAll(PART, '').trim() !== '') return Number.NaN;
  return [...said.matchAll(PART)].reduce((sum, [, count, unit = 'm']) => sum + Number(count) * (MINUTES[unit] ?? Number.NaN), 0);
}

/**
 * Reads an instant: ISO 8601 with an offset, or how far it is away, such as `+2h`.
 *
 * @returns ISO 8601, UTC
 */
export function instant(text: string): string {
  if (text.startsWith('+')) return new Date(Date.now() + minutes(text.slice(1)) * 60_000).toISOString();
  const at = new Date(text);
  const hasOffset = /T\d\d:\d\d.*(Z|[+-]\d\d:?\d\d)$/i.test(text);
  if (hasOffset && !Number.isNaN(at.getTime())) return at.toISOString();
  throw new InvalidArgumentError('It must be 2030-05-17T09:00:00Z, the same with an offset such as +02:00, or a distance such as +2h.');
}
