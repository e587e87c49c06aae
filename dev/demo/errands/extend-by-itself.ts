import { z } from 'zod';
import { type ErrandParts, each } from './errand.ts';
import { errandUser, PLAN } from './plan.ts';

/** The lease as it is asked for, and a moment more. */
const OUTLIVED_AFTER_MS = 60_000 + 2_000;

/** Of a tenant with phones of its own: nobody may wait for a device that is to be extended by itself, however busy the fleet is. */
const TENANT = 'demo-renewing';

const info = z.object({ extendHistory: z.array(z.object({ automatic: z.boolean() })) });

/** Some leave it to us to extend: a lease of one minute that outlives its minute, and is given back. */
export async function extendByItself({ desk, tally, tell }: ErrandParts): Promise<void> {
  const { renewals } = tally.errands;
  await each(PLAN.renewers, async (number) => {
    const deviceId = await desk.addPhone(`demo-renewing-phone-${number}`, TENANT);
    const wish = { tenantId: TENANT, autoExtend: true, durationMinutes: 1, devicePreferences: { deviceId } };
    const { allocationId, allocatedAt } = await desk.take(errandUser('renewer', number), wish);
    // Not by its end, which may have moved already.
    await desk.pause(Date.parse(allocatedAt) + OUTLIVED_AFTER_MS - Date.now());
    const lease = await desk.lease(allocationId);
    if (lease.status === 'allocated') renewals.outlived += 1;
    const { extendHistory } = await desk.get(`/scheduler/allocations/${allocationId}/extend-info`, info);
    renewals.extended += extendHistory.filter(({ automatic }) => automatic).length;
    if (lease.status === 'allocated') await desk.release(allocationId);
  });
  tell(`${renewals.outlived} leases of one minute have outlived it: extended by themselves`);
}
