import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { notice } from '../../shared/notices/notice.ts';
import { writeNotices } from '../../shared/store/notices.ts';
import { type DeliveryBench, openDeliveryBench } from '../support/delivery-bench.ts';
import { outboxStates } from '../support/outbox-rows.ts';

let bench: DeliveryBench;

beforeEach(async () => {
  bench = await openDeliveryBench();
});

afterEach(async () => {
  await bench.close();
});

/** A notice to a user that they wait. */
function joined(userId: string, queueId: string) {
  return notice('queue_joined', { userId, queueId, maxWaitMinutes: 30 });
}

describe('a notice in the outbox', () => {
  test('is one, however often it is written', async () => {
    const rows = [joined('ann', 'e1'), joined('bob', 'e2'), joined('ann', 'e1')];
    expect(await bench.store.transaction((tx) => writeNotices(tx, rows))).toBe(2);
    expect(await writeNotices(bench.store.prisma, rows)).toBe(0);
    expect(await writeNotices(bench.store.prisma, [])).toBe(0);
    expect(await outboxStates(bench.store, 'notice')).toEqual({ pending: 2 });
  });
});
