import type { FastifyReply, FastifyRequest } from 'fastify';
import { SchedulerError } from '../shared/errors.ts';

/** The error handler of the dashboard: the platform's error body, and nothing of what went wrong inside. */
export function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = thrown instanceof SchedulerError ? thrown : translate(thrown);
  if (error.statusCode >= 500) request.log.error({ err: thrown }, 'request failed');
  if (error.retryAfter !== undefined) reply.header('retry-after', String(error.retryAfter));
  return reply.code(error.statusCode).send({
    success: false,
    statusCode: error.statusCode,
    code: error.code,
    message: error.messages,
    requestId: request.id,
    timestamp: new Date().toISOString(),
    path: request.url,
  });
}

/** What Fastify refused (a body that is no JSON, too large, of a foreign type) is the caller's; the rest is ours. */
function translate(thrown: unknown): SchedulerError {
  const status = statusOf(thrown);
  if (status === 413) return new SchedulerError('PAYLOAD_TOO_LARGE', { cause: thrown });
  if (status === 415) return new SchedulerError('UNSUPPORTED_MEDIA_TYPE', { cause: thrown });
  return new SchedulerError(status < 500 ? 'VALIDATION_FAILED' : 'INTERNAL', { cause: thrown });
}

function statusOf(thrown: unknown): number {
  return thrown instanceof Error && 'statusCode' in thrown && typeof thrown.statusCode === 'number' ? thrown.statusCode : 500;
}
