import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { Queue } from 'bullmq';
import type { FastifyPluginCallback } from 'fastify';
import type { Logger } from '../shared/logger.ts';
import { containsRedacted, redact } from './redact.ts';

/** Where Bull Board is found. */
export const BOARD_PATH = '/queues';

const SHOWN_FIELDS = ['data', 'returnValue', 'progress'] as const;

/**
 * Bull Board over the queues, as a plugin for `BOARD_PATH`. It asks nobody who they are: the guard in front of every
 * route of the dashboard does.
 *
 * Secrets are taken out twice: where Bull Board offers a formatter, and from every answer as a whole, because logs,
 * stack traces, flows and the templates of schedulers pass the formatters by.
 */
export function createBoard(queues: readonly Queue[], logger: Logger): FastifyPluginCallback {
  const adapters = queues.map((queue) => {
    const adapter = new BullMQAdapter(queue);
    for (const field of SHOWN_FIELDS) adapter.setFormatter(field, (value) => redact(value));
    return adapter;
  });
  const serverAdapter = new FastifyAdapter().setBasePath(BOARD_PATH);
  createBullBoard({
    queues: adapters,
    serverAdapter,
    options: {
      uiBasePath: dirname(createRequire(import.meta.url).resolve('@bull-board/ui/package.json')),
      uiConfig: {
        boardTitle: 'Queues',
        boardLogo: { path: '' },
        miscLinks: [
          { text: 'Operations', url: '/' },
          { text: 'Dead letters', url: '/#dead' },
        ],
      },
      handlerHooks: {
        before: ({ request }) =>
          containsRedacted(request.body)
            ? { allow: false, status: 400, message: 'The data shown is redacted and cannot be written back.' }
            : undefined,
        after: (_context, result) => ({ ...result, body: redact(result.body) as typeof result.body }),
      },
    },
  });
  // Bull Board's own handler would answer with the message and stack of whatever was thrown.
  serverAdapter.setErrorHandler((error) => {
    if ('statusCode' in error && Number(error.statusCode) < 500)
      return { status: 400, body: { error: { key: 'ERRORS.INTERNAL_SERVER_ERROR' }, message: error.message } };
    logger.error({ err: error }, 'the queue board failed');
    return { status: 500, body: { error: { key: 'ERRORS.INTERNAL_SERVER_ERROR' } } };
  });
  return serverAdapter.registerPlugin();
}
