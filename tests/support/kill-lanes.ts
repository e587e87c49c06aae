import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import { RESERVATION_SCHEDULES } from '../../queues/schedules.ts';
import { CONSUMED_QUEUES } from '../../shared/consumed/topics.ts';
import { EVENT_EXCHANGE } from '../../shared/events.ts';
import { createLogger } from '../../shared/logger.ts';
import { noticeOfEvent } from '../../shared/notices/notice-of-event.ts';
import { writeNotices } from '../../shared/store/notices.ts';
import { insertRequest } from '../../shared/store/requests.ts';
import { startAllocation } from '../../workers/allocation/start-allocation.ts';
import { startLifecycle } from '../../workers/lifecycle/start-lifecycle.ts';
import { startListener } from '../../workers/listener/start-listener.ts';
import { startMaintenance } from '../../workers/maintenance/start-maintenance.ts';
import { startReservations } from '../../workers/reservations/start-reservations.ts';
import { type Closable, type KillBench, QUICK, requestOf } from './kill-bench.ts';
import { openListenerBench } from './listener-bench.ts';
import { MAINTENANCE } from './maintenance-settings.ts';
import { rabbitmqUrl } from './rabbitmq.ts';
import { booked, letPass, reservationParts } from './reservation-bench.ts';

/** Work for one process: what is there before it starts, what comes once it is up, and who takes over when it has died. */
export interface Lane {
  /** The verbs whose steps this process passes. */
  readonly verbs: readonly string[];
  readonly program: readonly string[];
  arrange(bench: KillBench, userId: string): Promise<void>;
  whenUp?(bench: KillBench, userId: string): Promise<void>;
  takeOver(bench: KillBench): Promise<Closable>;
  /** How the allocation of the user has to stand in the end. */
  readonly leaves: 'live' | 'ended';
}

const logger = createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent');
const QUEUES = `kill-${randomUUID()}`;

const grant: Lane = {
  verbs: ['grant'],
  program: ['workers/allocation/main.ts'],
  leaves: 'live',
  arrange: async ({ wired }, userId) => {
    const request = requestOf(userId);
    await insertRequest(wired.store, request);
    await wired.producer.allocate([{ ...request, acceptedAt: Date.now() }]);
  },
  takeOver: async ({ wired }) => startAllocation({ ...wired.allocation, timing: QUICK }),
};

const release: Lane = {
  verbs: ['release', 'end'],
  program: ['workers/lifecycle/main.ts'],
  leaves: 'ended',
  arrange: async (bench, userId) => {
    const { allocationId } = await bench.grant(userId);
    const named = { releaseId: randomUUID(), caller: 'test', userId: null, tenantId: null, endReason: 'released' as const };
    await bench.wired.producer.release({ ...named, allocationId });
  },
  takeOver: async ({ wired }) => startLifecycle({ ...wired.lifecycle, timing: QUICK }),
};

const expire: Lane = {
  verbs: ['expire'],
  program: ['workers/maintenance/main.ts'],
  leaves: 'ended',
  arrange: async (bench, userId) => {
    const { durationMinutes } = await bench.grant(userId);
    await letPass(bench.wired.store, durationMinutes + 1);
  },
  takeOver: ({ wired }) => {
    const { store, redis, prefix, producer, metrics, allocation } = wired;
    const parts = { store, redis, prefix, producer, metrics, logger, redisAddress: allocation.redisAddress };
    return startMaintenance({ ...parts, ...MAINTENANCE, timing: QUICK });
  },
};

const start: Lane = {
  verbs: ['start'],
  program: ['workers/reservations/main.ts'],
  leaves: 'live',
  arrange: async ({ wired }, userId) => {
    await booked(wired.store, { userId, inMinutes: 5, remindBeforeMinutes: 0 });
    await letPass(wired.store, 6);
  },
  takeOver: ({ wired }) => {
    const { redisAddress } = wired.allocation;
    return startReservations({
      ...reservationParts(wired, { noShowSeconds: 0 }),
      redisAddress,
      schedules: RESERVATION_SCHEDULES,
      timing: QUICK,
    });
  },
};

const publish: Lane = {
  verbs: ['publish', 'hand-out', 'tell'],
  program: ['workers/relay/main.ts'],
  leaves: 'ended',
  arrange: async (bench, userId) => bench.release((await bench.grant(userId)).allocationId),
  takeOver: (bench) => bench.startRelay(),
};

const deliver: Lane = {
  verbs: ['bill', 'report'],
  program: ['workers/delivery/main.ts'],
  leaves: 'ended',
  arrange: async (bench, userId) => {
    const { store, producer } = bench.wired;
    const { allocationId } = await bench.grant(userId);
    await bench.release(allocationId);
    const reports = await store.prisma.outboxEntry.findMany({ where: { channel: 'usage', key: allocationId }, orderBy: { id: 'asc' } });
    await producer.deliver([
      { kind: 'usage', ids: reports.map(({ id }) => String(id)) },
      { kind: 'billing', ids: [allocationId] },
    ]);
  },
  takeOver: async (bench) => bench.startDelivery(),
};

const tell: Lane = {
  verbs: ['notice'],
  program: ['workers/delivery/main.ts'],
  leaves: 'ended',
  arrange: async (bench, userId) => {
    const { prisma } = bench.wired.store;
    const { allocationId } = await bench.grant(userId);
    await bench.release(allocationId);
    // As the relay writes them when it has published the events.
    const events = await prisma.outboxEntry.findMany({ where: { channel: 'event', key: allocationId }, orderBy: { id: 'asc' } });
    await writeNotices(
      prisma,
      events.flatMap(({ topic, payload }) => noticeOfEvent(topic, payload) ?? []),
    );
    const notices = await prisma.outboxEntry.findMany({ where: { channel: 'notice', key: userId }, orderBy: { id: 'asc' } });
    await bench.wired.producer.deliver([{ kind: 'notice', ids: notices.map(({ id }) => String(id)) }]);
  },
  takeOver: async (bench) => bench.startDelivery(),
};

const consume: Lane = {
  verbs: ['consume'],
  program: ['tests/support/listener-process.ts', '--queues', QUEUES],
  leaves: 'ended',
  arrange: async (bench, userId) => void (await bench.grant(userId)),
  whenUp: async ({ wired }, userId) => {
    const { deviceId } = await wired.store.prisma.allocation.findFirstOrThrow({ where: { userId } });
    const connection = await connect(rabbitmqUrl());
    const channel = await connection.createConfirmChannel();
    channel.publish(EVENT_EXCHANGE, 'device.maintenance', Buffer.from(JSON.stringify({ deviceId })), { messageId: randomUUID() });
    await channel.waitForConfirms();
    await connection.close();
  },
  takeOver: async ({ wired }) => {
    const other = await openListenerBench(wired);
    const listener = await startListener({ ...other.deps, broker: { url: rabbitmqUrl() }, queuePrefix: QUEUES, timing: QUICK });
    return {
      close: async () => {
        await listener.close();
        await other.close();
      },
    };
  },
};

/** Every kind of process that has numbered steps. */
export const LANES: readonly Lane[] = [grant, release, expire, start, publish, deliver, tell, consume];

/** Deletes the queues that listeners, who are not there any more, have left in RabbitMQ. */
export async function deleteQueues(): Promise<void> {
  const connection = await connect(rabbitmqUrl());
  const channel = await connection.createChannel();
  for (const name of CONSUMED_QUEUES) await channel.deleteQueue(`${QUEUES}.${name}`);
  await connection.close();
}
