import { randomUUID } from 'node:crypto';
import { type NotificationServiceControl, startNotificationService } from '../../dev/stand-ins/notification-service.ts';
import { createJobCounter } from '../../queues/count-jobs.ts';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import type { GrantedAllocation } from '../../shared/allocation/outcome.ts';
import { createBillingClient } from '../../shared/clients/billing-client.ts';
import { createNotificationClient } from '../../shared/clients/notification-client.ts';
import { createUsageClient } from '../../shared/clients/usage-client.ts';
import { createLogger } from '../../shared/logger.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import type { WorkerTiming } from '../../shared/run/queue-worker.ts';
import { closeRedis, createRedis } from '../../shared/run/redis.ts';
import { grantGroup } from '../../shared/store/grant-group.ts';
import { releaseGroup } from '../../shared/store/release-group.ts';
import { createNoticeLimit } from '../../workers/delivery/notice-limit.ts';
import { startDelivery } from '../../workers/delivery/start-delivery.ts';
import { startNotices } from '../../workers/delivery/start-notices.ts';
import { deliveryQueueOf } from '../../workers/relay/delivery-queue.ts';
import { startRelay } from '../../workers/relay/start-relay.ts';
import { quotaOf } from './api-bench.ts';
import { type EventListener, listenToEvents } from './event-listener.ts';
import { addDevices, alike } from './fleet.ts';
import { openCaller, SERVICE_SECRET } from './neighbours.ts';
import { rabbitmqUrl } from './rabbitmq.ts';
import { redisUrl } from './redis.ts';
import { type Wired, wire } from './wire.ts';

/** Something that was started and can be closed. */
export interface Closable {
  close(): Promise<void>;
}

/** A database, a corner of Redis, neighbours and a subscriber, for one kind of process that is killed again and again. */
export interface KillBench {
  readonly wired: Wired;
  readonly arrived: EventListener['arrived'];
  /** What the notification-service was told. */
  readonly notifications: NotificationServiceControl;
  /** The environment of a process on this bench. */
  readonly env: Readonly<Record<string, string>>;
  /** Takes all devices out of service and puts one new one into it. */
  freshDevice(): Promise<string>;
  /** Grants at once, without a worker. */
  grant(userId: string): Promise<GrantedAllocation>;
  /** Ends at once, without a worker. */
  release(allocationId: string): Promise<void>;
  /** As if the time had passed that others leave to a process that fell silent: its locks, leases and claims are over. */
  letLeasesRunOut(): Promise<void>;
  /** Starts a relay in this process that leads as soon as it may. */
  startRelay(): Promise<Closable>;
  /** Starts deliveries in this process. */
  startDelivery(): Closable;
  close(): Promise<void>;
}

/** Of a worker that takes over: it looks for jobs of dead ones all the time. ms. */
export const QUICK: Partial<WorkerTiming> = { lockDuration: 5_000, stalledInterval: 250, idleMs: 250 };

const logger = createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent');

export async function openKillBench(): Promise<KillBench> {
  const wired = await wire({ allocationWorkers: 0, waitlistWorkers: 0, lifecycle: false });
  const listener = await listenToEvents('#');
  const { store, redis, prefix, producer, metrics, users, billing, allocation, databaseUrl } = wired;
  const notifications = await startNotificationService({ port: 0, secret: SERVICE_SECRET });
  const callers = [
    openCaller('user', users.url),
    openCaller('billing', billing.url),
    openCaller('notification', notifications.url),
  ] as const;
  const policy = { ...allocation.outagePolicy, strategy: RESOURCE_BASED };
  return {
    wired,
    arrived: listener.arrived,
    notifications: notifications.control,
    env: {
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl(),
      RABBITMQ_URL: rabbitmqUrl(),
      QUEUE_PREFIX: prefix,
      USER_SERVICE_URL: users.url,
      BILLING_SERVICE_URL: billing.url,
      NOTIFICATION_SERVICE_URL: notifications.url,
      JWT_SECRET: SERVICE_SECRET,
      SERVICE_TOKEN_SECRET: SERVICE_SECRET,
      DB_POOL_SIZE: '4',
      // Time is made to pass here: nobody is to be taken for a no-show by it.
      NO_SHOW_MINUTES: '0',
    },
    freshDevice: async () => {
      await store.prisma.device.updateMany({ data: { status: 'stopped' } });
      const [id = ''] = await addDevices(store, alike(1));
      return id;
    },
    grant: async (userId) => {
      const gathered = {
        request: requestOf(userId),
        quota: quotaOf(10),
        balance: await wired.balance.balanceOf(userId, { deadlineMs: 5_000 }),
      };
      const [outcome] = await grantGroup(store, [gathered], policy);
      if (outcome?.status !== 'granted') throw new Error(`nothing was granted: ${JSON.stringify(outcome)}`);
      return outcome.allocation;
    },
    release: async (allocationId) => {
      const named = { allocationId, deviceId: undefined, userId: null, tenantId: null, fence: undefined, endReason: 'released' as const };
      await releaseGroup(store, [named], { cleaningSeconds: 0 });
    },
    letLeasesRunOut: async () => {
      const locks = await redis.keys(`${prefix}*:lock`);
      if (locks.length > 0) await redis.del(...locks);
      await store.prisma.$executeRaw`UPDATE scheduled_runs SET held_until = now() WHERE holder IS NOT NULL`;
      await store.prisma.$executeRaw`DELETE FROM leases`;
      await store.prisma.$executeRaw`UPDATE ledger SET next_attempt_at = now() WHERE status = 'owed'`;
      await store.prisma.$executeRaw`UPDATE outbox SET next_attempt_at = now() WHERE status = 'pending'`;
    },
    startRelay: async () => {
      const subscriber = createRedis('subscriber', allocation.redisAddress, logger);
      const deliveries = deliveryQueueOf(producer, redis, prefix);
      const broker = { url: rabbitmqUrl() };
      const jobs = createJobCounter(redis, prefix);
      const relay = await startRelay({ store, deliveries, jobs, subscriber, prefix, logger, metrics, broker, netMs: 50, lostAfterMs: 500 });
      return {
        close: async () => {
          await relay.close();
          await jobs.close();
          closeRedis(subscriber);
        },
      };
    },
    startDelivery: () => {
      const shared = { store, prefix, metrics, logger, timing: QUICK, redisAddress: allocation.redisAddress };
      const delivery = { maxAttempts: 5, pause: { baseMs: 50, maxMs: 200 }, notAskedPauseMs: 50, leaseMs: 60_000, callMs: 5_000 };
      const worker = startDelivery({
        ...shared,
        usage: createUsageClient(callers[0]),
        billing: createBillingClient(callers[1]),
        policy: delivery,
      });
      const notices = startNotices({
        ...shared,
        notifications: createNotificationClient(callers[2]),
        limit: createNoticeLimit(redis, prefix, 1_000, logger),
        manner: { language: 'zh', timeZone: 'UTC' },
        policy: delivery,
      });
      return { close: async () => void (await Promise.all([worker.close(), notices.close()])) };
    },
    close: async () => {
      for (const caller of callers) caller.close();
      await notifications.close();
      await listener.close();
      await wired.close();
    },
  };
}

/** A wish of a user, as a service would have it. */
export function requestOf(userId: string) {
  const asked = askedAllocation.parse({});
  return {
    ...{ requestId: randomUUID(), caller: 'test', source: 'client' as const, userId },
    ...{ tenantId: null, tier: 'standard' as const, asked, traceId: undefined },
  };
}
