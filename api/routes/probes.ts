import { z } from 'zod';
import type { Metrics } from '../../shared/metrics.ts';
import type { Readiness } from '../probes.ts';
import { type Api, errorAnswers, noQuery } from '../route-schema.ts';

const probe = z.enum(['up', 'down', 'off']);
const breaker = z.enum(['closed', 'half-open', 'open', 'unknown']);
const neighbours = z.object({ user: breaker, billing: breaker, notification: breaker });
const readiness = z.object({
  status: z.enum(['ready', 'not_ready']),
  postgres: probe,
  redis: probe,
  rabbitmq: probe,
  queue: probe,
  neighbours,
});

/** `/health`: the process answers. `/ready`: what it stands on answers. `/metrics`: for admins and services here, open on its own port. */
export function probeRoutes(api: Api, readinessNow: () => Promise<Readiness>, metrics: Metrics): void {
  api.get(
    '/health',
    {
      config: { access: 'open' },
      schema: {
        tags: ['Probes'],
        summary: 'Alive',
        security: [],
        querystring: noQuery,
        response: { 200: z.object({ status: z.literal('ok') }) },
      },
    },
    async () => ({ status: 'ok' as const }),
  );

  api.get(
    '/ready',
    {
      config: { access: 'open' },
      schema: {
        tags: ['Probes'],
        summary: 'Ready to serve',
        description:
          'Without RabbitMQ the API is ready: events wait in the outbox. `neighbours` are the breakers of the workers, which make nobody unready.',
        security: [],
        querystring: noQuery,
        response: { 200: readiness, 503: readiness },
      },
    },
    async (_request, reply) => {
      const now = await readinessNow();
      return reply.code(now.status === 'ready' ? 200 : 503).send(now);
    },
  );

  api.get(
    '/metrics',
    {
      config: { access: 'administrative' },
      schema: {
        tags: ['Probes'],
        summary: 'Prometheus text',
        querystring: noQuery,
        response: { 200: { content: { 'text/plain': { schema: z.string() } } }, ...errorAnswers() },
      },
    },
    async (_request, reply) => reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
}
