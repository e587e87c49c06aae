import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { SchedulerError } from '../shared/errors.ts';
import { findSubjects } from '../shared/store/find-subject.ts';
import type { DashboardDeps } from './deps.ts';
import { tellStory } from './story.ts';

const MOST_FOUND = 10;
const words = z.string().trim().min(1).max(200);
const subject = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('user'), id: z.string().min(1).max(128) }),
  z.object({ kind: z.enum(['device', 'allocation', 'request', 'reservation']), id: z.guid() }),
]);

/** `GET /api/search?q=` finds what has a story, `GET /api/story/<kind>?id=` tells it. */
export function registerStories(app: FastifyInstance, deps: DashboardDeps): void {
  app.get('/api/search', async (request) => {
    const asked = z.object({ q: words }).safeParse(request.query);
    if (!asked.success) throw new SchedulerError('VALIDATION_FAILED', { messages: ['q: 1 to 200 characters'] });
    return { success: true, data: { items: await findSubjects(deps.store, asked.data.q, MOST_FOUND) } };
  });
  app.get('/api/story/:kind', async (request) => {
    const asked = subject.safeParse({ ...Object(request.query), ...Object(request.params) });
    const story = asked.success ? await tellStory(deps, asked.data.kind, asked.data.id) : undefined;
    if (story === undefined) throw new SchedulerError('NOT_FOUND', { messages: ['Nothing is known of that.'] });
    return { success: true, data: story };
  });
}
