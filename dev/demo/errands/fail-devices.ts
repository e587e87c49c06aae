import type { EventDesk } from '../event-desk.ts';
import { type ErrandParts, each } from './errand.ts';
import { errandUser, PLAN } from './plan.ts';

const FAIL_AT_MS = 3_000;
const USED_MS = 4_000;

/** Of a tenant with phones of its own: however busy the fleet is, there is another one for each who loses his. */
const TENANT = 'demo-unlucky';

/** Devices fail while somebody holds them: the holders get others, and the devices come back repaired. */
export async function failDevices(parts: ErrandParts, events: EventDesk): Promise<void> {
  const { desk, tally, tell } = parts;
  const phones = await each(PLAN.unlucky, (number) => desk.addPhone(`demo-unlucky-phone-${number}`, TENANT));
  await each(PLAN.unlucky, (number) => desk.addPhone(`demo-unlucky-spare-${number}`, TENANT));
  await each(PLAN.unlucky, (number) => lose(parts, events, errandUser('unlucky', number), phones[number]));
  const { failed, moved, repaired } = tally.errands.failures;
  tell(`${failed} devices failed under their holders: ${moved} holders moved to others, ${repaired} devices are back`);
}

async function lose({ desk, tally }: ErrandParts, events: EventDesk, userId: string, wanted: string | undefined): Promise<void> {
  const { failures } = tally.errands;
  const lost = await desk.take(userId, { tenantId: TENANT, ...(wanted !== undefined && { devicePreferences: { deviceId: wanted } }) });
  const { deviceId } = lost;
  await desk.pause(FAIL_AT_MS);
  await events.publish('device.failed', { deviceId, reason: 'no answer from its host' });
  const ended = await desk.until(`the lease of failed device ${deviceId} ended`, async () => {
    const lease = await desk.lease(lost.allocationId);
    return lease.endReason === null ? undefined : lease;
  });
  if (ended.endReason === 'device_failed') failures.failed += 1;
  const other = await desk.until(`another device for ${userId}`, async () => (await desk.held(userId))[0]);
  tally.allocations.add(other.allocationId);
  if (other.deviceId !== deviceId) failures.moved += 1;
  await events.publish('device.started', { deviceId });
  failures.repaired += 1;
  await desk.pause(USED_MS);
  await desk.release(other.allocationId);
}
