import { z } from 'zod';
import { DEVICE_TYPES, MAX_DURATION_MINUTES, PROVIDER_TYPES } from '../allocation/asked.ts';
import { partyId } from '../allocation/party-id.ts';
import { isStorable } from '../storable.ts';

/** States of a device, as the platform names them. */
export const DEVICE_STATES = ['creating', 'idle', 'running', 'stopped', 'paused', 'maintenance', 'error', 'deleted'] as const;

const deviceId = z.guid().transform((id) => id.toLowerCase());
/** Text that a database keeps: JSON may say more. */
const textOf = (most: number) => z.string().min(1).max(most).refine(isStorable, 'must be text without NUL or halves of characters');
const text = textOf(200);
/** Why, in the words of who says it: for people to read, so no event is refused for it. */
const reason = z
  .string()
  .transform((said) => said.slice(0, 200).toWellFormed().replaceAll('\u0000', ''))
  .optional()
  .catch(undefined);
const amount = z.int().min(1).max(2_147_483_647);
const percent = z.number().min(0).max(100);
/** A number, or its text: amounts of money come as either. */
const money = z
  .union([z.number(), z.string().regex(/^-?\d+(\.\d+)?$/)])
  .transform(Number)
  .nullish()
  .transform((value) => value ?? null);

/** How many devices a user may have at most; missing and negative say: as many as they like. */
const limit = z
  .int()
  .nullish()
  .transform((most) => (most == null || most < 0 ? null : most));

/** A device as it is described: its size, and what else is said of it. */
const device = z.object({
  id: deviceId,
  name: text.optional(),
  type: z.enum(DEVICE_TYPES).optional(),
  status: z.enum(DEVICE_STATES),
  tenantId: partyId.optional(),
  providerType: z.enum(PROVIDER_TYPES).optional(),
  nodeId: text.optional(),
  region: text.optional(),
  cpuCores: amount,
  memoryMB: amount,
  storageMB: amount,
  healthScore: percent.optional(),
  costPerHour: z.number().min(0).max(1e9).optional(),
  androidVersion: textOf(50).optional(),
  adbHost: textOf(255).optional(),
  adbPort: z.int().min(1).max(65_535).optional(),
});

/** A part of a routing key: what an answer is addressed to. Not to where we would read it as an order. */
const addressee = z
  .string()
  .regex(/^[\w-]{1,100}$/)
  .refine((saga) => saga !== 'requested', 'is where orders are sent to');

/** How a device out of service was said until 0.1: jobs and dead letters of that time ask for what a change of status does now. */
const takeDeviceOut = z
  .object({ action: z.literal('take-device-out'), deviceId, status: z.enum(['error', 'maintenance', 'deleted']) })
  .transform(({ deviceId: id, status }) => ({ action: 'set-device-status' as const, deviceId: id, status }));

/** What a consumed event asks for, whoever said it in whichever words. */
export const consumedAction = z.discriminatedUnion('action', [
  z.object({ action: z.literal('put-device'), device }),
  z.object({ action: z.literal('set-device-status'), deviceId, status: z.enum(DEVICE_STATES), reason }),
  takeDeviceOut,
  /** Its status was changed already, or it drains: who holds or has reserved it is to be looked after. No topic says it, our own doors do. */
  z.object({ action: z.literal('settle-device'), deviceId }),
  z.object({
    action: z.literal('note-health'),
    deviceId,
    cpuUsage: percent.nullish(),
    memoryUsage: percent.nullish(),
    storageUsage: percent.nullish(),
    healthScore: percent.nullish(),
  }),
  z.object({ action: z.literal('block-user'), userId: partyId, state: z.enum(['suspended', 'deleted']), reason }),
  z.object({ action: z.literal('unblock-user'), userId: partyId }),
  z.object({ action: z.literal('limit-user'), userId: partyId, maxDevices: limit }),
  z.object({ action: z.literal('count-failed-payment'), userId: partyId, amount: money }),
  z.object({ action: z.literal('put-in-arrears'), userId: partyId, overdueAmount: money, overdueDays: money }),
  z.object({ action: z.literal('warn-of-balance'), userId: partyId, currentBalance: money }),
  z.object({ action: z.literal('clear-arrears'), userId: partyId }),
  z.object({
    action: z.literal('allocate-order'),
    sagaId: addressee,
    orderId: text,
    userId: partyId,
    durationMinutes: z.int().min(1).max(MAX_DURATION_MINUTES).optional(),
  }),
  z.object({ action: z.literal('release-order'), deviceId, userId: partyId, reason }),
]);

export type ConsumedAction = z.output<typeof consumedAction>;

export type ConsumedActionName = ConsumedAction['action'];

/** The action of one name. */
export type ActionOf<A extends ConsumedActionName> = Extract<ConsumedAction, { action: A }>;
