import { z } from 'zod';
import type { EventDesk } from '../event-desk.ts';
import { type ErrandParts, each } from './errand.ts';
import { errandUser, PLAN } from './plan.ts';

const OVERDUE_AT_MS = 6_000;
const A_DAY_MS = 24 * 60 * 60 * 1_000;
const USED_MS = 2_000;

const made = z.object({ id: z.string() });
const standing = z.object({ status: z.string() });
const user = z.object({ arrearsSince: z.string().nullable() });

/** What a debtor has before the bill is overdue. */
interface Belongings {
  readonly userId: string;
  readonly leases: readonly string[];
  readonly entryId: string;
  readonly reservationId: string;
}

/** A few users do not pay: they lose all they have and get nothing new, until they pay. */
export async function fallIntoArrears(parts: ErrandParts, events: EventDesk): Promise<void> {
  const { tell, tally, desk } = parts;
  const debtors = await each(PLAN.debtors, (number) => acquire(parts, errandUser('debtor', number)));
  await desk.pause(OVERDUE_AT_MS);
  tell(`${debtors.length} users are overdue: billing.overdue is published`);
  await Promise.all(debtors.map((debtor) => lose(parts, events, debtor)));
  const { ended, entries, reservations, refused } = tally.errands.arrears;
  tell(`in arrears: ${ended} leases ended, ${entries + reservations} entries and reservations cancelled, ${refused} asks refused with 402`);
  await Promise.all(debtors.map((debtor) => pay(parts, events, debtor)));
  tell(`${tally.errands.arrears.letIn} users have paid and have a device again`);
}

/** At their limit, so that their entry in the queue waits. */
async function acquire({ desk, setLimit }: ErrandParts, userId: string): Promise<Belongings> {
  await setLimit(userId, PLAN.leasesOfDebtor);
  const leases = await each(PLAN.leasesOfDebtor, async () => (await desk.take(userId)).allocationId);
  const { id: entryId } = await desk.send('/scheduler/queue/join', { userId, durationMinutes: 30, maxWaitMinutes: 30 }, made);
  const wish = { userId, durationMinutes: 30, reservedStartTime: new Date(Date.now() + 2 * A_DAY_MS).toISOString() };
  const { id: reservationId } = await desk.send('/scheduler/reservations', wish, made);
  return { userId, leases, entryId, reservationId };
}

async function lose({ desk, tally }: ErrandParts, events: EventDesk, debtor: Belongings): Promise<void> {
  const { arrears } = tally.errands;
  const { userId, leases, entryId, reservationId } = debtor;
  await events.publish('billing.overdue', { userId, overdueAmount: 12.5, overdueDays: 3 });
  const isCancelled = async (path: string) => ((await desk.get(path, standing)).status === 'cancelled' ? true : undefined);
  for (const id of leases) {
    const { endReason } = await desk.until(`the end of lease ${id}`, async () => {
      const lease = await desk.lease(id);
      return lease.endReason === null ? undefined : lease;
    });
    if (endReason === 'arrears') arrears.ended += 1;
  }
  await desk.until(`the entry of ${userId} cancelled`, () => isCancelled(`/scheduler/queue/${entryId}`));
  arrears.entries += 1;
  await desk.until(`the reservation of ${userId} cancelled`, () => isCancelled(`/scheduler/reservations/${reservationId}`));
  arrears.reservations += 1;
  const refused = await desk.refusalOf(userId);
  if (refused?.status === 402 && refused.code === 'ACCOUNT_IN_ARREARS') arrears.refused += 1;
}

async function pay({ desk, tally }: ErrandParts, events: EventDesk, { userId }: Belongings): Promise<void> {
  await events.publish('billing.payment_success', { userId, amount: 12.5, newBalance: 20 });
  const path = `/scheduler/users/${userId}`;
  await desk.until(`${userId} out of arrears`, async () => ((await desk.get(path, user)).arrearsSince === null ? true : undefined));
  const { allocationId } = await desk.take(userId);
  tally.errands.arrears.letIn += 1;
  await desk.pause(USED_MS);
  await desk.release(allocationId);
}
