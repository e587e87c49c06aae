import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { SchedulerError } from '../../shared/errors.ts';
import type { DashboardDeps } from '../deps.ts';
import { readSessionCookie } from '../session-cookie.ts';
import type { Sessions } from '../sessions.ts';
import { createFleetMap } from './fleet-map.ts';
import { createLiveHub, messageFor } from './live-hub.ts';
import { liveParts } from './live-parts.ts';

/** How often a stream makes sure that its session still is one, ms. */
const CHECK_MS = 5_000;
/** A watcher this far behind, in bytes, is let go: its browser comes again when it can follow. */
const MOST_BEHIND = 4 * 1_024 * 1_024;

const cell = z.object({ layout: z.string().max(100), index: z.coerce.number().int().min(0) });

interface LiveOptions {
  readonly sessions: Sessions;
  readonly secure: boolean;
}

/** `GET /api/live`, the stream of everything on the page, and what the map needs to know of its cells. */
export function registerLive(app: FastifyInstance, deps: DashboardDeps, options: LiveOptions): void {
  const map = createFleetMap(deps.store);
  const hub = createLiveHub(liveParts(deps, map), deps.logger);
  const streams = new Set<() => void>();

  app.get('/api/live', (request, reply) => {
    const end = stream(request, reply, hub.watch, options, () => streams.delete(end));
    streams.add(end);
  });
  app.get('/api/fleet/layout', async () => ({ success: true, data: await map.layout() }));
  app.get('/api/fleet/device', async (request) => {
    const asked = cell.safeParse(request.query);
    const id = asked.success ? await map.deviceAt(asked.data.layout, asked.data.index) : undefined;
    if (id === undefined) throw new SchedulerError('DEVICE_NOT_FOUND');
    return { success: true, data: { id } };
  });
  app.addHook('preClose', async () => {
    for (const end of [...streams]) end();
    await hub.close();
  });
}

/** Streams until the browser goes, the session ends or the process closes. @returns how to end it */
function stream(
  request: FastifyRequest,
  reply: FastifyReply,
  watch: (send: (message: string) => void) => () => void,
  { sessions, secure }: LiveOptions,
  onEnd: () => void,
): () => void {
  reply.hijack();
  const { raw } = reply;
  reply.headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
  const send = (message: string) => {
    if (raw.writableLength > MOST_BEHIND) raw.destroy();
    else raw.write(message);
  };
  send(messageFor('hello', { now: Date.now() }));
  const leave = watch(send);
  const check = setInterval(() => void look(), CHECK_MS);

  async function look(): Promise<void> {
    try {
      if ((await sessions.peek(readSessionCookie(request, secure) ?? '')) === undefined) raw.end(messageFor('goodbye', {}));
      // A byte now and then: whatever stands between closes connections that are silent.
      else send(messageFor('time', { now: Date.now() }));
    } catch (error) {
      request.log.warn({ err: error }, 'whether a session still is one could not be seen; looked at again');
    }
  }

  raw.once('close', () => {
    clearInterval(check);
    leave();
    onEnd();
  });
  return () => raw.end();
}
