import type { FastifyInstance } from 'fastify';
import { SchedulerError } from '../shared/errors.ts';
import { sendError } from './envelope.ts';

/** Answers 404 for unknown paths and 405, with `Allow`, for known ones under another method. */
export function answerUnknownRoutes(app: FastifyInstance): void {
  const routes: { pattern: RegExp; methods: string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    if (!url.includes('*')) routes.push({ pattern: patternOf(url), methods: Array.isArray(method) ? method : [method] });
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const allowed = [...new Set(routes.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods))];
    if (allowed.length === 0) return sendError(request, reply, new SchedulerError('NOT_FOUND', { messages: ['There is no such route.'] }));
    return sendError(
      request,
      reply.header('allow', allowed.join(', ')),
      new SchedulerError('METHOD_NOT_ALLOWED', { details: { allowed } }),
    );
  });
}

function patternOf(url: string): RegExp {
  const parts = url.split('/').map((part) => (part.startsWith(':') ? '[^/]+' : part.replaceAll('.', '\\.')));
  return new RegExp(`^${parts.join('/')}/?$`);
}
