import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createProducer, type Producer } from '../../queues/producer.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { createLife } from '../../shared/run/life.ts';
import { closeRedis, createRedis, whenReady } from '../../shared/run/redis.ts';
import { type MaintenanceDependencies, startMaintenance } from '../../workers/maintenance/start-maintenance.ts';
import type { ApiBench } from './api-bench.ts';
import { MAINTENANCE } from './maintenance-settings.ts';
import { redisUrl } from './redis.ts';

/** Schedulers beside an API bench, in this process and in others. */
export interface MaintenanceBench {
  readonly producer: Producer;
  /** Starts a scheduler in this process; `close` of the answer stops it. */
  start(): Promise<{ close(): Promise<void> }>;
  /** Starts one in a process of its own, whose clock is ahead by so many ms. @returns kills it, as a power cut would */
  startApart(aheadMs?: number): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export async function openMaintenanceBench({ store, prefix, databaseUrl }: ApiBench): Promise<MaintenanceBench> {
  const logger = createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent');
  const life = createLife(logger);
  const redisAddress = { url: redisUrl(), clusterNodes: [] };
  const redis = createRedis('producer', redisAddress, logger);
  life.onClose('redis', () => closeRedis(redis));
  await whenReady(redis, 30_000);
  const producer = createProducer({ redis, prefix, maxWaitingJobs: 1_000, logger });
  life.onClose('producer', producer.close);
  const dependencies: MaintenanceDependencies = {
    store,
    redis,
    redisAddress,
    prefix,
    ...MAINTENANCE,
    producer,
    keepEveryMs: 200,
    graceSeconds: 0,
    metrics: createMetrics('test'),
    logger,
    timing: { lockDuration: 2_000, stalledInterval: 1_000 },
  };
  return {
    producer,
    start: async () => {
      const started = await startMaintenance(dependencies);
      life.onClose('maintenance', started.close);
      return started;
    },
    startApart: async (aheadMs = 0) => {
      const args = [
        '--no-warnings',
        '--import',
        new URL('../../chaos/shift-clock.ts', import.meta.url).href,
        'tests/support/maintenance-process.ts',
        '--database',
        databaseUrl,
        '--redis',
        redisUrl(),
        '--prefix',
        prefix,
      ];
      const child = spawn(process.execPath, args, {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, CLOCK_SHIFT_MS: String(aheadMs) },
      });
      const gone = once(child, 'exit');
      const kill = async () => {
        child.kill('SIGKILL');
        await gone;
      };
      life.onClose('process', kill);
      await once(child.stdout, 'data');
      return kill;
    },
    close: life.close,
  };
}
