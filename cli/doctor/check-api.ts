import { z } from 'zod';
import { messageOf } from '../../shared/errors.ts';
import { CliFailure } from '../cli-failure.ts';
import type { Session } from '../session.ts';
import { distanceOf } from './check-clock.ts';
import { type Finding, fine, skipped } from './finding.ts';

const TIMEOUT_MS = 5_000;

const probe = z.enum(['up', 'down', 'off']);
const readiness = z.object({
  status: z.string(),
  postgres: probe,
  redis: probe,
  rabbitmq: probe,
  queue: probe,
  neighbours: z.record(z.string(), z.string()),
});

/** What `/ready` said. */
export type Readiness = z.output<typeof readiness>;

/** Whether the API answers, and what it says of what it stands on. */
export async function checkApi({ url }: Session): Promise<{ finding: Finding; ready: Readiness | undefined }> {
  const began = performance.now();
  try {
    const response = await fetch(`${url.replace(/\/+$/, '')}/ready`, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'manual' });
    // What is no JSON is not the scheduler's answer either, and told as such below.
    const read = readiness.safeParse(await response.json().catch(() => undefined));
    const took = Math.round(performance.now() - began);
    if (read.success) return { finding: fine('api', `${url} answers, in ${took} ms`), ready: read.data };
    const fix = ['Is SCHEDULER_URL (or --url) the address of the scheduler, and nothing else in front of it?'];
    return {
      finding: { name: 'api', status: 'failed', says: `${url}/ready answers ${response.status}, and not as the scheduler does`, fix },
      ready: undefined,
    };
  } catch (error) {
    return { finding: apiAway(url, error), ready: undefined };
  }
}

function apiAway(url: string, error: unknown): Finding {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : messageOf(cause);
  return {
    name: 'api',
    status: 'failed',
    says: `${url} cannot be reached (${code})`,
    fix: [
      'Start it: `npm start` for development, `docker compose up` or `node api/main.ts` otherwise.',
      'It is somewhere else? Say so with SCHEDULER_URL or --url.',
    ],
  };
}

/** Whether the token is taken and what it may do, and how far the clocks are apart. */
export async function checkToken(session: Session): Promise<Finding[]> {
  const began = Date.now();
  try {
    const { at } = await session.ask({ method: 'GET', path: '/scheduler/config', timeoutMs: TIMEOUT_MS });
    return [fine('token', 'it is accepted, with the rights of an operator'), distanceOf('clock', 'the API', at, began, Date.now())];
  } catch (error) {
    if (!(error instanceof CliFailure)) throw error;
    const { code, messages, hints = [] } = error.facts;
    const says = code === 'FORBIDDEN' ? 'it is valid, and not that of an admin or a listed service' : messages.join(' ');
    return [{ name: 'token', status: 'failed', says, fix: hints }, skipped('clock', 'the API tells its time only to whom it knows')];
  }
}

const MEANING: Readonly<Record<'postgres' | 'redis' | 'rabbitmq' | 'queue', string>> = {
  postgres: 'nothing can be allocated or released until it is back',
  redis: 'requests are taken and decided once it is back; nothing expires meanwhile',
  rabbitmq: 'events wait in the outbox; nothing else is slower',
  queue: 'nothing is handed to the workers until it is back',
};

/** What the API says of the servers it stands on. */
export function checkReadiness(ready: Readiness): Finding[] {
  return (['postgres', 'redis', 'queue', 'rabbitmq'] as const).map((server): Finding => {
    const name = `api → ${server}`;
    if (ready[server] === 'up') return fine(name, 'up');
    if (ready[server] === 'off')
      return {
        name,
        status: 'warning',
        says: 'events are switched off',
        fix: ['Set RABBITMQ_URL of the API and the workers if others should hear them.'],
      };
    const status = server === 'rabbitmq' ? 'warning' : 'failed';
    return { name, status, says: `down: ${MEANING[server]}`, fix: [FIX[server]] };
  });
}

const FIX: Readonly<Record<'postgres' | 'redis' | 'rabbitmq' | 'queue', string>> = {
  postgres: 'Start Postgres, and check DATABASE_URL (or DB_*) of the API.',
  redis: 'Start Redis, and check REDIS_URL (or REDIS_*) of the API.',
  rabbitmq: 'Start RabbitMQ, and check RABBITMQ_URL of the API.',
  queue: 'It lives in Redis: see there.',
};

/** How the breakers of the workers stand. */
export function checkBreakers(ready: Readiness): Finding[] {
  return Object.entries(ready.neighbours).map(([neighbour, state]): Finding => {
    const name = `${neighbour}-service`;
    const variable = `${neighbour.toUpperCase()}_SERVICE_URL`;
    if (state === 'closed') return fine(name, 'no worker complains of it');
    if (state === 'unknown') return skipped(name, 'Redis could not be asked how its breakers stand');
    const says = state === 'open' ? 'left alone: its calls failed (breaker open)' : 'tried again after failures (breaker half open)';
    return {
      name,
      status: state === 'open' ? 'failed' : 'warning',
      says,
      fix: [`Look at its health and logs, and at ${variable} of the workers.`],
    };
  });
}
