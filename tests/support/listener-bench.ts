import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import { createBalanceClient } from '../../shared/clients/balance-client.ts';
import { createBalanceFacts } from '../../shared/clients/balance-facts.ts';
import { createQuotaClient } from '../../shared/clients/quota-client.ts';
import { createQuotaFacts } from '../../shared/clients/quota-facts.ts';
import { CONSUMED_QUEUES } from '../../shared/consumed/topics.ts';
import { createLogger } from '../../shared/logger.ts';
import { type Listener, type ListenerDependencies, startListener } from '../../workers/listener/start-listener.ts';
import { eventually } from './eventually.ts';
import { openCaller } from './neighbours.ts';
import { rabbitmqUrl } from './rabbitmq.ts';
import type { Wired } from './wire.ts';

/** A listener with queues of its own, and another service that publishes. */
export interface ListenerBench {
  /** Start of the names of our queues. */
  readonly queuePrefix: string;
  /** What a listener works with. */
  readonly deps: ListenerDependencies;
  /** Starts a listener and waits until it listens. */
  start(changes?: Partial<ListenerDependencies>): Promise<Listener>;
  /** Publishes as another service does. @returns the event's id */
  publish(topic: string, body: unknown, messageId?: string, headers?: Readonly<Record<string, string>>): Promise<string>;
  close(): Promise<void>;
}

/**
 * Opens it over wired workers; `close` takes its queues away again.
 *
 * @param url  a RabbitMQ of the test's own
 */
export async function openListenerBench(wired: Wired, url = rabbitmqUrl()): Promise<ListenerBench> {
  const queuePrefix = `test-${randomUUID()}`;
  const connection = await connect(url);
  // A broker may be killed on purpose; whoever publishes then hears it from the publishing.
  let open = true;
  connection.on('error', () => undefined);
  connection.once('close', () => {
    open = false;
  });
  const channel = await connection.createConfirmChannel();
  // Not the platform's, on which every other test publishes too.
  const exchange = `${queuePrefix}.events`;
  await channel.assertExchange(exchange, 'topic', { durable: true });
  const listeners: Listener[] = [];
  const { store, redis, prefix, producer, metrics, allocation } = wired;
  const callers = [openCaller('user', wired.users.url), openCaller('billing', wired.billing.url)] as const;
  const caches = { redis, prefix, metrics, ttlSeconds: 60, logger: createLogger('test', 'silent') };
  const quota = createQuotaFacts({ ...caches, client: createQuotaClient(callers[0]), lastKnownOnError: false });
  const balance = createBalanceFacts({ ...caches, client: createBalanceClient(callers[1]) });
  const deps: ListenerDependencies = {
    ...{ store, redis, prefix, producer, metrics },
    redisAddress: allocation.redisAddress,
    forgetQuota: quota.forget,
    forgetBalance: balance.forget,
    ending: { cleaningSeconds: 0 },
    relocate: true,
    rules: { gapSeconds: 0 },
    paymentFailureThreshold: 3,
    broker: { url, exchange, backoff: { baseMs: 20, maxMs: 100 }, again: { baseMs: 10, maxMs: 50 } },
    queuePrefix,
    logger: createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent'),
  };
  return {
    queuePrefix,
    deps,
    async start(changes = {}) {
      const listener = await startListener({ ...deps, ...changes });
      listeners.push(listener);
      await eventually(() => {
        if (!listener.isListening()) throw new Error('the listener does not listen yet');
      }, 30_000);
      return listener;
    },
    async publish(topic, body, messageId = randomUUID(), headers = {}) {
      const content = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
      channel.publish(exchange, topic, content, { messageId, persistent: true, headers: { ...headers } });
      await channel.waitForConfirms();
      return messageId;
    },
    async close() {
      for (const listener of listeners) await listener.close();
      if (open) await connection.close();
      await removeFrom(url, queuePrefix, exchange);
      for (const caller of callers) caller.close();
    },
  };
}

async function removeFrom(url: string, queuePrefix: string, exchange: string): Promise<void> {
  const connection = await connect(url);
  const channel = await connection.createChannel();
  for (const name of CONSUMED_QUEUES) await channel.deleteQueue(`${queuePrefix}.${name}`);
  await channel.deleteExchange(exchange);
  await connection.close();
}
