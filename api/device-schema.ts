import { z } from 'zod';
import { DEVICE_TYPES, PROVIDER_TYPES } from '../shared/allocation/asked.ts';
import { partyId } from '../shared/allocation/party-id.ts';
import { shortText } from './route-schema.ts';

/** States of a device, as the platform names them. */
export const DEVICE_STATUSES = ['creating', 'idle', 'running', 'stopped', 'paused', 'maintenance', 'error', 'deleted'] as const;

const amount = z.int().min(1).max(2_147_483_647);
const percent = z.number().min(0).max(100);

/** What anybody may see of a device. */
export const publicDevice = z.object({
  id: z.string(),
  name: z.string(),
  type: z.enum(DEVICE_TYPES),
  status: z.string(),
  cpuCores: z.int(),
  memoryMB: z.int(),
  storageMB: z.int(),
  providerType: z.string(),
  androidVersion: z.string().nullable(),
  region: z.string().nullable(),
  healthScore: z.number(),
});

const fields = {
  name: shortText,
  type: z.enum(DEVICE_TYPES),
  status: z.enum(DEVICE_STATUSES),
  tenantId: partyId.optional(),
  providerType: z.enum(PROVIDER_TYPES),
  nodeId: shortText.optional(),
  region: z.string().min(1).max(100).optional(),
  cpuCores: amount,
  memoryMB: amount,
  storageMB: amount,
  cpuUsage: percent.optional(),
  memoryUsage: percent.optional(),
  storageUsage: percent.optional(),
  healthScore: percent.optional(),
  costPerHour: z.number().min(0).max(1e9).optional(),
  androidVersion: z.string().min(1).max(50).optional(),
  adbHost: z.string().min(1).max(255).optional(),
  adbPort: z.int().min(1).max(65_535).optional(),
};

/** A device as `PUT` takes it: the id is in the path, and may be repeated. */
export const deviceBody = z.strictObject({ id: z.guid().optional(), ...fields });

/** A device as a line of an import. */
export const deviceLine = z.strictObject({ id: z.guid(), ...fields });
