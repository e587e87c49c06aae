import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { SchedulerError } from '../../shared/errors.ts';
import { ACTION_ROUTE } from '../audit-trail.ts';
import type { DashboardDeps } from '../deps.ts';
import { ACTIONS } from './actions.ts';

const SMALL_BODY = 4_096;
const params = z.object({ action: z.string() });

/** `POST /api/actions/<name>`: what an operator does on the page. The guard has seen to who and from where. */
export function registerActions(app: FastifyInstance, deps: DashboardDeps): void {
  app.post(ACTION_ROUTE, { bodyLimit: SMALL_BODY }, async (request) => {
    const { action: name } = params.parse(request.params);
    const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
    if (action === undefined) throw new SchedulerError('NOT_FOUND', { messages: ['There is no such action.'] });
    const said = action.words.safeParse(request.body);
    if (!said.success) throw new SchedulerError('VALIDATION_FAILED', { messages: said.error.issues.map(problemOf), cause: said.error });
    const message = await action.run(said.data, deps, request.session?.username ?? '');
    return { success: true, data: { message } };
  });
}

function problemOf({ path, message }: z.core.$ZodIssue): string {
  return path.length === 0 ? message : `${path.join('.')}: ${message}`;
}
