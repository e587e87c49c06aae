import { SchedulerError } from '../shared/errors.ts';
import type { ServerDeps } from './deps.ts';

/**
 * Has the holders and reservations of devices looked after that a route has taken out of service. Without Redis the rows say
 * it, and `reconcile` ends what is held: the caller's change is made and is not refused.
 */
export async function settleDevices(
  { producer, logger }: Pick<ServerDeps, 'producer' | 'logger'>,
  deviceIds: readonly string[],
): Promise<void> {
  try {
    await producer.settleDevices(deviceIds);
  } catch (error) {
    if (!(error instanceof SchedulerError) || error.code !== 'QUEUE_UNAVAILABLE') throw error;
    logger.warn({ err: error, devices: deviceIds.length }, 'holders of devices out of service will be looked after by reconcile');
  }
}
