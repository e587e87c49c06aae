import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Cluster, Redis } from 'ioredis';
import { SchedulerError } from '../shared/errors.ts';
import type { Logger } from '../shared/logger.ts';
import { createRateLimitStore } from './rate-limit-store.ts';

/** What a call is counted as. */
export type Budget = 'read' | 'write' | 'batch';

/** Calls per minute of a user, by budget, and how many times that a service has. */
export interface RateLimits {
  readonly read: number;
  readonly write: number;
  readonly batch: number;
  readonly serviceFactor: number;
}

/** Counts one call of an authenticated caller. Throws SchedulerError RATE_LIMITED when the budget of the minute is spent. */
export type CountCall = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

const MINUTE_MS = 60_000;

/** @returns one counter a budget; counts are kept per user or service, over all processes */
export async function createCounters(
  app: FastifyInstance,
  options: { readonly redis: Redis | Cluster; readonly prefix: string; readonly logger: Logger; readonly limits: RateLimits },
): Promise<Readonly<Record<Budget, CountCall>>> {
  await app.register(rateLimit, { global: false, store: createRateLimitStore(options.redis, options.prefix, options.logger) });
  const counter = (budget: Budget): CountCall => {
    const handler = app.rateLimit({
      timeWindow: MINUTE_MS,
      skipOnError: true,
      max: ({ caller }) => options.limits[budget] * (caller.role === 'service' ? options.limits.serviceFactor : 1),
      keyGenerator: ({ caller }) => `${budget}:${caller.key}`,
      errorResponseBuilder: (_request, { max, ttl }) =>
        new SchedulerError('RATE_LIMITED', {
          messages: [`At most ${max} ${budget} calls a minute.`],
          details: { limit: budget, max },
          retryAfter: Math.ceil(ttl / 1_000),
        }),
    });
    return (request, reply) => Promise.resolve(handler.call(app, request, reply));
  };
  return { read: counter('read'), write: counter('write'), batch: counter('batch') };
}
