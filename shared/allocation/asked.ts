import { z } from 'zod';

/** Longest allocation, in minutes: a day. */
export const MAX_DURATION_MINUTES = 1_440;

/** Kinds of device. */
export const DEVICE_TYPES = ['phone', 'tablet'] as const;

/** Where devices come from. */
export const PROVIDER_TYPES = [
  'redroid',
  'huawei_cph',
  'aliyun_ecp',
  'physical',
  'tencent_gs',
  'baidu_bac',
  'aws_device_farm',
  'genymotion',
  'browserstack',
] as const;

const naturalNumber = z.int().min(0).max(2_147_483_647);

/** The least a device must have: a hard filter. */
export const preferredSpecs = z.strictObject({
  minCpu: naturalNumber.optional().describe('Cores'),
  minMemory: naturalNumber.optional().describe('MB'),
  minStorage: naturalNumber.optional().describe('MB'),
});

/** `deviceType` and `deviceId` are hard, the rest scores. */
export const devicePreferences = z.strictObject({
  deviceType: z.enum(DEVICE_TYPES).optional(),
  providerType: z.enum(PROVIDER_TYPES).optional(),
  region: z.string().min(1).max(100).optional(),
  androidVersion: z.string().min(1).max(50).optional(),
  deviceId: z.guid().optional(),
  avoidDeviceIds: z.array(z.guid()).max(100).optional(),
  sameDeviceAsLast: z.boolean().optional(),
});

/** What is asked for, whoever asks through whichever door: one schema for HTTP, client and job. */
export const askedAllocation = z.strictObject({
  durationMinutes: z.int().min(1).max(MAX_DURATION_MINUTES).default(60),
  preferredSpecs: preferredSpecs.optional(),
  devicePreferences: devicePreferences.optional(),
  queueIfBusy: z.boolean().default(false).describe('Wait for a device instead of being refused'),
  maxWaitMinutes: z.int().min(1).max(120).default(30).describe('Longest wait when queueIfBusy'),
  heartbeatSeconds: z.int().min(10).max(3_600).optional().describe('Reclaim the device when no heartbeat came for this long'),
  autoExtend: z.boolean().default(false),
});

/** A checked wish, defaults filled in. */
export type AskedAllocation = z.output<typeof askedAllocation>;

/** A wish as a caller writes it: everything may be left out. */
export type AskedAllocationInput = z.input<typeof askedAllocation>;

const DEFAULTS: Readonly<Record<string, unknown>> = askedAllocation.parse({});

/** The wish without what is the default anyway, for where bytes count: parsing it gives the same wish. */
export function withoutDefaults(asked: AskedAllocation): AskedAllocationInput {
  return Object.fromEntries(Object.entries(asked).filter(([name, value]) => value !== undefined && value !== DEFAULTS[name]));
}
