import { z } from 'zod';
import { checkInvariants } from '../../shared/store/invariants.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { type Api, errorAnswers, noQuery } from '../route-schema.ts';

const report = z.object({
  ok: z.boolean(),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), violations: z.int(), sample: z.array(z.string()) })),
});

/** `GET /scheduler/invariants`: whether what must always hold does hold. Reads every table, so it counts as a batch. */
export function operationRoutes(api: Api, { store }: ServerDeps): void {
  api.get(
    '/scheduler/invariants',
    {
      config: { access: 'administrative', budget: 'batch' },
      schema: {
        tags: ['Operations'],
        summary: 'Check every invariant, read-only',
        querystring: noQuery,
        response: { 200: successOf(report), ...errorAnswers() },
      },
    },
    async (request) => {
      const { ok, checks } = await checkInvariants(store);
      return success(request, { ok, checks: checks.map((check) => ({ ...check, sample: [...check.sample] })) });
    },
  );
}
