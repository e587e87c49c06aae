import { z } from 'zod';
import { SchedulerError } from '../../shared/errors.ts';
import { changeDevice, upsertDevices } from '../../shared/store/fleet.ts';
import { ownershipOf, tenantOfDevice } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { deviceBody } from '../device-schema.ts';
import { success, successOf } from '../envelope.ts';
import { invalidFields } from '../error-handler.ts';
import { type Api, errorAnswers, idParams, noBody, noQuery } from '../route-schema.ts';
import { settleDevices } from '../settle-devices.ts';

const OTHER_TENANT = 'The device belongs to another tenant.';

/** The fleet, one device at a time. For admins (devices of their tenant) and services (all). */
export function deviceRoutes(api: Api, deps: ServerDeps): void {
  putDevice(api, deps);
  for (const [name, method, url, summary] of [
    [
      'drain',
      'POST',
      '/scheduler/devices/:id/drain',
      'Give out no new lease of a device; a running one goes on, reservations go to other devices',
    ],
    ['activate', 'POST', '/scheduler/devices/:id/activate', 'Take a drained device back into service'],
    ['delete', 'DELETE', '/scheduler/devices/:id', 'Delete a device; its lease ends by device_deleted'],
  ] as const) {
    api.route({
      method,
      url,
      config: { access: 'administrative', budget: 'write' },
      schema: {
        tags: ['Fleet'],
        summary,
        params: idParams,
        querystring: noQuery,
        ...(method === 'POST' ? { body: noBody } : {}),
        response: { 200: successOf(z.object({ id: z.string() })), ...errorAnswers(404, 409, 422) },
      },
      handler: async (request) => {
        const { id } = request.params;
        const change = await changeDevice(deps.store, id, name, ownershipOf(request.caller));
        if (change === 'missing') throw new SchedulerError('DEVICE_NOT_FOUND');
        if (change === 'foreign') throw new SchedulerError('FORBIDDEN', { messages: [OTHER_TENANT] });
        await deps.available.evict();
        if (name === 'activate') await deps.capacity.changed({ devices: [id] });
        else await settleDevices(deps, [id.toLowerCase()]);
        return success(request, { id });
      },
    });
  }
}

function putDevice(api: Api, deps: ServerDeps): void {
  const stored = successOf(z.object({ id: z.string(), created: z.boolean() }));
  api.put(
    '/scheduler/devices/:id',
    {
      config: { access: 'administrative', budget: 'write' },
      schema: {
        tags: ['Fleet'],
        summary: 'Create or update a device',
        description:
          'An optional field that is left out keeps its value. A device a tenant’s admin creates belongs to that tenant. One that is stopped, in error, in maintenance or deleted by it loses its lease and its reservations as by the event that says so.',
        params: idParams,
        querystring: noQuery,
        body: deviceBody,
        response: { 200: stored, 201: stored, ...errorAnswers(409, 422) },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      if (request.body.id !== undefined && request.body.id.toLowerCase() !== id.toLowerCase()) {
        throw invalidFields([{ field: 'id', problem: 'is not the one of the path' }]);
      }
      const tenantId = tenantOfDevice(request.caller, request.body.tenantId);
      const device = { ...request.body, id: id.toLowerCase(), tenantId };
      const { created, down, foreign } = await upsertDevices(deps.store, [JSON.stringify(device)], ownershipOf(request.caller));
      if (foreign.length > 0) throw new SchedulerError('FORBIDDEN', { messages: [OTHER_TENANT] });
      await deps.available.evict();
      await settleDevices(deps, down);
      await deps.capacity.changed({ devices: [id] });
      return reply.code(created === 1 ? 201 : 200).send(success(request, { id, created: created === 1 }));
    },
  );
}
