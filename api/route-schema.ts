import type { FastifyBaseLogger, FastifyInstance, RawReplyDefaultExpression, RawRequestDefaultExpression, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { errorEnvelope } from './envelope.ts';

/** The server as routes see it: inputs and answers are typed by their zod schemas. */
export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

const MAX_INT = 2_147_483_647;

/** A whole number in a query. Text is all a query has, so digits are read as a number; anything else is refused. */
export function queryInteger(min = 0, max = MAX_INT) {
  return z.preprocess((text) => (typeof text === 'string' && /^\d{1,10}$/.test(text) ? Number(text) : text), z.int().min(min).max(max));
}

/** Text that is a name of something: not empty, not a novel. */
export const shortText = z.string().min(1).max(200);

/** An instant with an offset, as a Date. */
export const instantInput = z.iso
  .datetime({ offset: true })
  .refine((text) => new Date(text).getTime() >= 0, 'must not be before 1970')
  .transform((text) => new Date(text));

/** The query of routes that take none: an unknown field is refused there as well. */
export const noQuery = z.strictObject({});

/** The body of routes that need none: nothing, or an empty object. */
export const noBody = z.strictObject({}).nullish();

/** What a `tenantId` of a body means, and what counts without one. */
export const TENANT_RULE =
  'Whom it is for; another one than the own only from services and super admins. Left out: the tenant of the caller who acts for themselves or administers a tenant, else the one the user is known with, else none';

/** An id is the same in capitals; rows and jobs write it small. */
export const idParams = z.strictObject({ id: z.guid().toLowerCase() });

/** `limit` and `cursor` of every list. */
export const pagingQuery = {
  limit: queryInteger(1, 100).default(20).describe('Most items of a page'),
  cursor: z.string().min(1).max(500).optional().describe('`nextCursor` of the page before'),
};

/** A page: its items, how many there are in all, and how to ask for the next. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), total: z.int(), nextCursor: z.string().nullable() });
}

const RESPONSES = {
  400: 'Not valid',
  401: 'No valid token',
  402: 'Balance or arrears',
  403: 'Not allowed',
  404: 'There is no such thing within reach',
  409: 'Not in this state',
  410: 'Ended already',
  413: 'Body too large',
  415: 'Content type not supported',
  422: 'Idempotency-Key used with another body',
  429: 'Too many requests',
  503: 'Something we need is away; see Retry-After',
} as const;

const COMMON = [400, 401, 403, 429, 503] as const;

/** The error answers of a route for its page: the common ones and those given. */
export function errorAnswers(...statuses: (keyof typeof RESPONSES)[]) {
  const all = [...new Set([...COMMON, ...statuses])];
  return Object.fromEntries(all.map((status) => [status, errorEnvelope.describe(RESPONSES[status])])) as Record<
    string,
    typeof errorEnvelope
  >;
}
