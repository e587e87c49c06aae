import { invalidFields } from './error-handler.ts';

/** Where a page ended, as opaque text. */
export function encodeCursor(parts: readonly string[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/**
 * Reads a cursor back.
 *
 * @param checks  one a part: what it must look like
 * @throws SchedulerError VALIDATION_FAILED for a text that `encodeCursor` did not make
 */
export function decodeCursor(cursor: string, checks: readonly RegExp[]): readonly string[] {
  const parts = parse(cursor);
  const intact = parts.length === checks.length && checks.every((check, index) => check.test(parts[index] ?? ''));
  if (!intact) throw invalidFields([{ field: 'cursor', problem: 'is not a cursor of this list' }]);
  return parts;
}

function parse(cursor: string): string[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    return Array.isArray(parts) && parts.every((part) => typeof part === 'string') ? parts : [];
  } catch {
    // Not our text: an empty cursor fits no check.
    return [];
  }
}
