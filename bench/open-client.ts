import { SchedulerClient } from '../queues/client.ts';
import { PREFIX } from './place.ts';
import type { BenchServers } from './scenario.ts';

/** The client as another service has it, for the place of the benchmarks; no backlog is too long for it. */
export function openClient({ redisUrl, redisClusterNodes }: BenchServers): SchedulerClient {
  const redis = { url: redisUrl, clusterNodes: redisClusterNodes };
  return new SchedulerClient({ redis, service: 'bench', prefix: PREFIX, maxWaitingJobs: Number.MAX_SAFE_INTEGER });
}
