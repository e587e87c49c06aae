import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { messageOf, SchedulerError } from '../shared/errors.ts';
import { sendError } from './envelope.ts';

/** What Fastify itself refuses, by its code. */
const FASTIFY_CODES: Readonly<
  Record<string, { code: 'PAYLOAD_TOO_LARGE' | 'UNSUPPORTED_MEDIA_TYPE' | 'VALIDATION_FAILED'; message: string }>
> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'PAYLOAD_TOO_LARGE', message: 'The body is too large.' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: 'UNSUPPORTED_MEDIA_TYPE', message: 'The content type of the body is not supported.' },
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: 'VALIDATION_FAILED', message: 'The body is empty.' },
  FST_ERR_CTP_EMPTY_TYPE: { code: 'UNSUPPORTED_MEDIA_TYPE', message: 'The content type of the body is missing.' },
  FST_ERR_CTP_INVALID_JSON_BODY: { code: 'VALIDATION_FAILED', message: 'The body is not valid JSON.' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { code: 'VALIDATION_FAILED', message: 'The body is not as long as Content-Length says.' },
  FST_ERR_BAD_URL: { code: 'VALIDATION_FAILED', message: 'The path is not a valid URL.' },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'VALIDATION_FAILED', message: 'A part of the path is too long.' },
};

/** The error handler of the server: whatever was thrown becomes one error of the catalogue. Faults of ours are logged, whole. */
export function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = toSchedulerError(thrown);
  if (error.statusCode >= 500) {
    if (request.heldKey !== undefined) request.heldKey.faulty = true;
    request.log.error({ err: thrown, code: error.code, requestId: request.id }, 'request failed');
  }
  sendError(request, reply, error);
}

/** Translates what the framework, a schema or a verb threw. What nobody expected is INTERNAL and says nothing of itself. */
export function toSchedulerError(thrown: unknown): SchedulerError {
  if (thrown instanceof SchedulerError) return thrown;
  if (hasZodFastifySchemaValidationErrors(thrown)) return validationError(thrown);
  const known = FASTIFY_CODES[codeOf(thrown)];
  if (known !== undefined) return new SchedulerError(known.code, { messages: [known.message], cause: thrown });
  const status = statusOf(thrown);
  if (status >= 400 && status < 500) return new SchedulerError('VALIDATION_FAILED', { messages: [messageOf(thrown)], cause: thrown });
  return new SchedulerError('INTERNAL', { cause: thrown });
}

/** A refused input in the words callers see: every wrong field by its path, such as `devicePreferences.deviceId`. */
export function invalidFields(problems: readonly { field: string; problem: string }[], cause?: unknown): SchedulerError {
  const fields = problems.map(({ field }) => field);
  return new SchedulerError('VALIDATION_FAILED', {
    messages: problems.map(({ field, problem }) => (field === '' ? problem : `${field}: ${problem}`)),
    details: { field: fields[0] ?? '', fields },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** `/requests/1/userId` as people write it: `requests[1].userId`. */
export function fieldOf(path: readonly (string | number)[]): string {
  return path.map((part, index) => (/^\d+$/.test(String(part)) ? `[${part}]` : index === 0 ? part : `.${part}`)).join('');
}

function validationError(thrown: Pick<FastifyError, 'validation' | 'validationContext'>): SchedulerError {
  const problems = (thrown.validation ?? []).flatMap(({ instancePath, message, keyword, params }) => {
    const path = instancePath.split('/').filter((part) => part !== '');
    if (keyword === 'unrecognized_keys' && Array.isArray(params['keys'])) {
      return params['keys'].map((key) => ({ field: fieldOf([...path, String(key)]), problem: 'is not a known field' }));
    }
    return [{ field: path.length === 0 ? (thrown.validationContext ?? '') : fieldOf(path), problem: message ?? 'is not valid' }];
  });
  return invalidFields(problems, thrown);
}

function codeOf(thrown: unknown): string {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
}

function statusOf(thrown: unknown): number {
  return typeof thrown === 'object' && thrown !== null && 'statusCode' in thrown && typeof thrown.statusCode === 'number'
    ? thrown.statusCode
    : 500;
}
