import type { AskedAllocation } from '../allocation/asked.ts';

/** Upper bounds of one device, from the quota of its user; `Infinity` where there is none. */
export interface Caps {
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
}

export const NO_CAPS: Caps = { cpuCores: Infinity, memoryMB: Infinity, storageMB: Infinity };

/** What a device must be, else it is not a candidate. `tenantId`: devices of this tenant count besides the shared ones. */
export interface Requirement {
  readonly tenantId: string | null;
  readonly deviceType: 'phone' | 'tablet' | null;
  readonly deviceId: string | null;
  readonly minCpu: number;
  readonly minMemoryMB: number;
  readonly minStorageMB: number;
  readonly durationMinutes: number;
  readonly caps: Caps;
  /** The dearest device, per hour; left out: any. A device without a price costs nothing. */
  readonly maxCostPerHour?: number;
}

/** What a device should be: each wish is worth a fixed weight, see `preferenceScore`. */
export interface Preference {
  readonly providerType: string | null;
  readonly region: string | null;
  readonly androidVersion: string | null;
  readonly lastDeviceId: string | null;
  readonly avoidDeviceIds: readonly string[];
}

/** What a caller asked for, as the hard part of a placement. */
export function requirementOf(asked: AskedAllocation, tenantId: string | null, caps: Caps, maxCostPerHour = Infinity): Requirement {
  return {
    tenantId,
    deviceType: asked.devicePreferences?.deviceType ?? null,
    deviceId: asked.devicePreferences?.deviceId ?? null,
    minCpu: asked.preferredSpecs?.minCpu ?? 0,
    minMemoryMB: asked.preferredSpecs?.minMemory ?? 0,
    minStorageMB: asked.preferredSpecs?.minStorage ?? 0,
    durationMinutes: asked.durationMinutes,
    caps,
    ...(maxCostPerHour === Infinity ? {} : { maxCostPerHour }),
  };
}

/** What a caller asked for, as the soft part of a placement. `lastDeviceId` is the device the user held last, if asked for. */
export function preferenceOf(asked: AskedAllocation, lastDeviceId: string | null): Preference {
  const wish = asked.devicePreferences;
  return {
    providerType: wish?.providerType ?? null,
    region: wish?.region ?? null,
    androidVersion: wish?.androidVersion ?? null,
    lastDeviceId: wish?.sameDeviceAsLast === true ? lastDeviceId : null,
    avoidDeviceIds: wish?.avoidDeviceIds ?? [],
  };
}
