import type { KillBench } from './kill-bench.ts';

/**
 * What is wrong with the one allocation of a user, seen from everywhere: its rows, its events as they arrived, what billing and the
 * user-service were told. Empty when all is as it has to be.
 */
export async function problemsOf(
  { wired, arrived, notifications }: KillBench,
  userId: string,
  leaves: 'live' | 'ended',
): Promise<string[]> {
  const { store, billing, users } = wired;
  const allocations = await store.prisma.allocation.findMany({ where: { userId } });
  const [allocation] = allocations;
  if (allocation === undefined || allocations.length !== 1) return [`${allocations.length} allocations`];
  const ended = leaves === 'ended';
  const bill = billing.control.recordOf(allocation.id);
  const owed = await store.prisma.ledgerEntry.findMany({ where: { allocationId: allocation.id } });
  const told = (topic: string) =>
    new Set(
      arrived
        .filter(({ fields, content }) => fields.routingKey === topic && JSON.parse(content.toString()).allocationId === allocation.id)
        .map(({ properties }) => properties.messageId),
    ).size;
  const notices = await store.prisma.outboxEntry.count({ where: { channel: 'notice', key: userId, status: 'delivered' } });
  const facts: readonly (readonly [what: string, seen: unknown, expected: unknown])[] = [
    ['it is over', allocation.status !== 'allocated', ended],
    ['ledger rows', owed.map(({ status }) => status).join(), ended ? 'settled' : ''],
    ['billed seconds', bill?.duration, ended ? owed[0]?.durationSeconds : undefined],
    ['device.allocated', told('device.allocated'), 1],
    ['device.released', told('device.released'), ended ? 1 : 0],
    ['notices sent', notifications.sent().filter((sent) => sent.userId === userId).length, notices],
    ['anybody told', notices > 0, true],
    ['devices the user-service counts', users.control.usageOf(userId).devices, ended ? 0 : 1],
  ];
  return facts.filter(([, seen, expected]) => seen !== expected).map(([what, seen, expected]) => `${what}: ${seen}, not ${expected}`);
}
