import { createHash } from 'node:crypto';
import { pipeline, Readable, Transform } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { SchedulerError } from '../../shared/errors.ts';
import { LINE_TYPES } from '../body-parsers.ts';
import { ownershipOf, tenantOfDevice } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { deviceLine } from '../device-schema.ts';
import { success, successOf } from '../envelope.ts';
import { importDevices } from '../import-devices.ts';
import { type Api, errorAnswers, noQuery } from '../route-schema.ts';
import { settleDevices } from '../settle-devices.ts';

const report = z.object({
  received: z.int(),
  created: z.int(),
  updated: z.int(),
  failed: z.int(),
  errors: z.array(z.object({ line: z.int(), code: z.string(), message: z.string() })).describe('The first thousand'),
});

/** `POST /scheduler/devices/import`: a whole fleet, one JSON document a line. */
export function importRoutes(api: Api, deps: ServerDeps): void {
  const parts = { store: deps.store, settle: (deviceIds: readonly string[]) => settleDevices(deps, deviceIds) };
  api.post(
    '/scheduler/devices/import',
    {
      config: { access: 'administrative', budget: 'batch', line: deviceLine },
      schema: {
        tags: ['Fleet'],
        summary: 'Create or update many devices',
        description: `The body is NDJSON (\`${LINE_TYPES[0]}\`): one device a line, with its \`id\`. Any number of lines; a wrong one is reported and left out.`,
        consumes: [...LINE_TYPES],
        querystring: noQuery,
        response: { 200: successOf(report), ...errorAnswers(415, 422) },
      },
    },
    async (request) => {
      const { caller, body } = request;
      if (!(body instanceof Readable)) throw new SchedulerError('UNSUPPORTED_MEDIA_TYPE', { messages: [`Send ${LINE_TYPES[0]}.`] });
      try {
        const answer = await importDevices(parts, hashed(request, body), ownershipOf(caller), (stated) => tenantOfDevice(caller, stated));
        return success(request, answer);
      } finally {
        await deps.available.evict();
        await deps.capacity.changed({ all: true });
      }
    },
  );
}

/** Under an Idempotency-Key the body is hashed while it passes, so that a repeat can be compared with it. */
function hashed({ heldKey }: FastifyRequest, body: Readable): Readable {
  if (heldKey === undefined) return body;
  const hash = createHash('sha256');
  const tap = new Transform({
    transform(part: Buffer, _encoding, done) {
      hash.update(part);
      done(null, part);
    },
    flush(done) {
      heldKey.streamHash = hash.digest('hex');
      done();
    },
  });
  return pipeline(body, tap, () => undefined);
}
