import type { EndReason } from '../allocation/end-reason.ts';

/** What becomes of the lease of a device: why it ends, and whether its holder is to get another device instead. */
export interface Loss {
  readonly endReason: Extract<EndReason, 'device_failed' | 'device_maintenance' | 'device_deleted'>;
  readonly relocates: boolean;
}

const LOSSES: Readonly<Record<string, Loss>> = {
  stopped: { endReason: 'device_failed', relocates: true },
  error: { endReason: 'device_failed', relocates: true },
  maintenance: { endReason: 'device_maintenance', relocates: false },
  deleted: { endReason: 'device_deleted', relocates: false },
};

/** The statuses in which a device is out of service: nobody keeps it, and who reserved it is given another one. */
export const OUT_OF_SERVICE: readonly string[] = Object.keys(LOSSES);

/**
 * What does a status cost the holder of a device, whichever door it came in by? Nothing if the device is merely paused, idle or
 * being made: it is given to nobody else, and its holder keeps it.
 */
export function decideLoss(status: string): Loss | undefined {
  return LOSSES[status];
}
