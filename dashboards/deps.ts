import type { Queue } from 'bullmq';
import type { CapacitySignal } from '../queues/capacity-signal.ts';
import type { Producer } from '../queues/producer.ts';
import type { Logger } from '../shared/logger.ts';
import type { OutcomeListener } from '../shared/run/completion.ts';
import type { RedisClient } from '../shared/run/redis.ts';
import type { Store } from '../shared/store/store.ts';

/** What the dashboard stands on. It owns none of it. */
export interface DashboardDeps {
  readonly queues: readonly Queue[];
  /** A connection that fails fast; keeps sessions and counts failed logins. */
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly store: Store;
  readonly producer: Producer;
  readonly outcomes: OutcomeListener;
  /** Name of this process, for those who answer it. */
  readonly instance: string;
  readonly capacity: CapacitySignal;
  readonly logger: Logger;
}
