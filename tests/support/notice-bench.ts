import { type NotificationServiceControl, startNotificationService } from '../../dev/stand-ins/notification-service.ts';
import type { StandIn } from '../../dev/stand-ins/stand-in.ts';
import type { CallerTuning } from '../../shared/clients/call.ts';
import { createNotificationClient } from '../../shared/clients/notification-client.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';
import { closeRedis } from '../../shared/run/redis.ts';
import type { Store } from '../../shared/store/store.ts';
import type { NoticeDeps } from '../../workers/delivery/deliver-notice.ts';
import type { DeliveryPolicy } from '../../workers/delivery/delivery-deps.ts';
import { createNoticeLimit } from '../../workers/delivery/notice-limit.ts';
import { startNotices } from '../../workers/delivery/start-notices.ts';
import { openCaller, SERVICE_SECRET } from './neighbours.ts';
import { openRedis, redisAddress } from './open-redis.ts';

/** Repeats without a pause, so that a test needs no patience. */
const POLICY: DeliveryPolicy = { maxAttempts: 5, pause: { baseMs: 0, maxMs: 0 }, notAskedPauseMs: 0, leaseMs: 60_000, callMs: 5_000 };

export interface NoticeBenchOptions {
  readonly policy?: Partial<DeliveryPolicy>;
  readonly perMinute?: number;
  readonly tuning?: Partial<CallerTuning>;
  readonly retries?: number;
  readonly timeoutMs?: number;
}

/** A notification-service and what tells it. */
export interface NoticeBench {
  readonly service: StandIn<NotificationServiceControl>;
  readonly metrics: Metrics;
  /** What a job works with; the breaker is its own. */
  deps(options?: NoticeBenchOptions): NoticeDeps;
  /** A worker on the notice queue under the prefix. */
  startWorker(options?: NoticeBenchOptions): void;
  close(): Promise<void>;
}

/** Opens what a test of notices needs besides a database and a corner of Redis; `close` takes it away again. */
export async function openNoticeBench(store: Store, prefix: string): Promise<NoticeBench> {
  const service = await startNotificationService({ port: 0, secret: SERVICE_SECRET });
  const redis = await openRedis('producer');
  const metrics = createMetrics('test');
  const logger = createLogger('test', 'silent');
  const closers: (() => Promise<void> | void)[] = [];

  function deps({ policy, perMinute = 1_000, tuning = {}, retries = 0, timeoutMs = 5_000 }: NoticeBenchOptions = {}): NoticeDeps {
    const caller = openCaller('notification', service.url, { tuning, retries, timeoutMs });
    closers.push(caller.close);
    return {
      store,
      notifications: createNotificationClient(caller),
      limit: createNoticeLimit(redis, prefix, perMinute, logger),
      manner: { language: 'zh', timeZone: 'UTC' },
      policy: { ...POLICY, ...policy },
      metrics,
      logger,
    };
  }

  return {
    service,
    metrics,
    deps,
    startWorker(options) {
      const worker = startNotices({ ...deps(options), redisAddress: redisAddress(), prefix, metrics });
      closers.push(worker.close);
    },
    async close() {
      for (const close of closers.reverse()) await close();
      await service.close();
      closeRedis(redis);
    },
  };
}
