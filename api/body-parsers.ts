import type { FastifyInstance } from 'fastify';
import { isStorable } from '../shared/storable.ts';
import { fieldOf, invalidFields } from './error-handler.ts';

/** Content types of a body that is one JSON document a line. Such a body is handed on as a stream. */
export const LINE_TYPES = ['application/x-ndjson', 'application/ndjson', 'application/jsonl'] as const;

/** JSON escapes of what Postgres cannot keep: NUL and lone halves of surrogate pairs. Rare enough to look closer then. */
const SUSPICIOUS = /\\u(?:0000|d[89a-f])/i;

/** How bodies are read: JSON, strictly; lines, as they come. Every other content type is refused with 415. */
export function parseBodies(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, text, done) => {
    const body = String(text);
    // A POST without a body may still say what type it would have had.
    if (body === '') return done(null, undefined);
    void parseJson(request, body, (error, value: unknown) => {
      if (error !== null) return done(error, undefined);
      const field = SUSPICIOUS.test(body) ? unstorable(value, []) : undefined;
      if (field !== undefined) return done(invalidFields([{ field, problem: UNSTORABLE }]), undefined);
      done(null, value);
    });
  });
  app.addContentTypeParser([...LINE_TYPES], (_request, stream, done) => done(null, stream));
}

const UNSTORABLE = 'must be well-formed text without NUL characters';

/** Refuses NUL and broken text in paths and queries, for the same reason. */
export function assertStorable(query: unknown, params: unknown): void {
  const field = unstorable(query, []) ?? unstorable(params, []);
  if (field !== undefined) throw invalidFields([{ field, problem: UNSTORABLE }]);
}

/** The path of the first text that cannot be stored. */
export function unstorable(value: unknown, path: readonly (string | number)[]): string | undefined {
  if (typeof value === 'string') return isStorable(value) ? undefined : fieldOf(path);
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, part] of Object.entries(value)) {
    const found = isStorable(name) ? unstorable(part, [...path, name]) : fieldOf(path);
    if (found !== undefined) return found;
  }
  return undefined;
}
