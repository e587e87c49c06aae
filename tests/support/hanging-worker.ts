import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { startQueueWorker } from '../../shared/run/queue-worker.ts';

/** A worker process that takes a job, says so, and never finishes it. Arguments: Redis URL, prefix. */
const [url = '', prefix = ''] = process.argv.slice(2);

startQueueWorker({
  queue: 'allocate',
  prefix,
  redis: { url, clusterNodes: [] },
  concurrency: 1,
  deadlineMs: 600_000,
  metrics: createMetrics('hanging'),
  logger: createLogger('hanging', 'silent'),
  timing: { lockDuration: 600, stalledInterval: 200 },
  handlers: {
    allocate: () => {
      process.stdout.write('taken\n');
      return new Promise(() => undefined);
    },
  },
});
