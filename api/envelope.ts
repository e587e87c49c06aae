import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ERRORS, type SchedulerError } from '../shared/errors.ts';

/** Every success looks like this. */
export interface Success<T> {
  readonly success: true;
  readonly data: T;
  readonly message?: string;
  readonly requestId: string;
  readonly timestamp: string;
}

const instant = z.string().describe('ISO 8601, UTC');

/** The schema of a success with this data. */
export function successOf<T extends z.ZodType>(data: T) {
  return z.object({ success: z.literal(true), data, message: z.string().optional(), requestId: z.string(), timestamp: instant });
}

/** Every error looks like this. */
export const errorEnvelope = z.object({
  success: z.literal(false),
  statusCode: z.int(),
  code: z.enum(Object.keys(ERRORS) as [keyof typeof ERRORS, ...(keyof typeof ERRORS)[]]),
  message: z.array(z.string()),
  details: z.record(z.string(), z.unknown()).optional().describe('Data to act on'),
  requestId: z.string(),
  timestamp: instant,
  path: z.string(),
});

/** Wraps data as a success of this request. */
export function success<T>(request: FastifyRequest, data: T, message?: string): Success<T> {
  const envelope = { success: true, data, requestId: request.id, timestamp: new Date().toISOString() } as const;
  return message === undefined ? envelope : { ...envelope, message };
}

/** Wraps data that is JSON text already; parsing it only to write it again would cost more than the rest of a cached read. */
export function successText(request: FastifyRequest, data: string): string {
  return `{"success":true,"data":${data},"requestId":${JSON.stringify(request.id)},"timestamp":"${new Date().toISOString()}"}`;
}

/** Answers with an error of the catalogue: status, body, and `Retry-After` where asking again can help. */
export function sendError(request: FastifyRequest, reply: FastifyReply, error: SchedulerError): FastifyReply {
  const retryAfter = error.retryAfter ?? (error.statusCode === 503 ? DEFAULT_RETRY_AFTER_S : undefined);
  if (retryAfter !== undefined && !reply.hasHeader('retry-after')) reply.header('retry-after', Math.max(1, Math.ceil(retryAfter)));
  const body = {
    success: false,
    statusCode: error.statusCode,
    code: error.code,
    message: error.messages,
    ...(error.details === undefined ? {} : { details: error.details }),
    requestId: request.id,
    timestamp: new Date().toISOString(),
    path: request.url.split('?', 1)[0],
  };
  // Said here as well: what the framework refuses before routing has passed no hook.
  reply.code(error.statusCode).header('x-request-id', request.id);
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(body));
}

const DEFAULT_RETRY_AFTER_S = 5;
