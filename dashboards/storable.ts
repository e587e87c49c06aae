import type { FastifyRequest } from 'fastify';
import { SchedulerError } from '../shared/errors.ts';
import { isStorable } from '../shared/storable.ts';

/** Refuses what Postgres cannot keep or compare with: NUL and lone halves of surrogate pairs. @throws VALIDATION_FAILED */
export async function assertStorable({ query, params, body }: FastifyRequest): Promise<void> {
  if ([query, params, body].every(isKept)) return;
  throw new SchedulerError('VALIDATION_FAILED', { messages: ['Only well-formed text without NUL characters is taken.'] });
}

function isKept(value: unknown): boolean {
  if (typeof value === 'string') return isStorable(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([name, part]) => isStorable(name) && isKept(part));
}
