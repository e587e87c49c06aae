import type { ConfirmChannel, ConsumeMessage } from 'amqplib';
import { DEAD_LETTER_EXCHANGE } from '../events.ts';

/** Where what nobody could take is kept for people to look at. */
export const DEAD_QUEUE = 'scheduler.dead';

/** The way of one channel to the dead letters. */
export interface DeadLetters {
  /** Binds the queue they are kept in to what cannot be taken from a queue of ours. */
  bind(queue: string): Promise<void>;
  /**
   * Puts a message there, with the reason; resolves when RabbitMQ has it.
   *
   * @throws Error if RabbitMQ refuses it, has nowhere to put it (the queue is bound again then) or says nothing in time
   */
  bury(queue: string, message: ConsumeMessage, reason: string): Promise<void>;
}

/**
 * @param timeoutMs  longest wait for the confirm of one
 * @param isBlocked  whether RabbitMQ reads nothing at the moment: then it is waited for
 */
export function openDeadLetters(channel: ConfirmChannel, timeoutMs: number, isBlocked: () => boolean): DeadLetters {
  /** Those that nothing was bound for; RabbitMQ says so before it confirms. */
  const unrouted = new Set<string>();
  channel.on('return', ({ properties }) => unrouted.add(String(properties.correlationId)));

  async function bind(queue: string): Promise<void> {
    await channel.assertQueue(DEAD_QUEUE, { durable: true });
    await channel.bindQueue(DEAD_QUEUE, DEAD_LETTER_EXCHANGE, `${queue}.failed`);
  }

  /** Each by its own confirm: waiting for all would mean waiting for, and failing with, those of others. */
  function publish(queue: string, { properties, fields, content }: ConsumeMessage, reason: string): Promise<void> {
    const { messageId, contentType } = properties;
    const headers = { ...properties.headers, 'x-reason': reason, 'x-original-routing-key': fields.routingKey };
    const own = { persistent: true, mandatory: true, correlationId: String(fields.deliveryTag) };
    return new Promise((resolve, reject) => {
      channel.publish(DEAD_LETTER_EXCHANGE, `${queue}.failed`, content, { ...own, messageId, contentType, headers }, (error: unknown) =>
        error instanceof Error ? reject(error) : resolve(),
      );
    });
  }

  /** What is sent to a broker that reads nothing arrives once it reads again: sending the same meanwhile would only pile up. */
  async function inTime(confirmed: Promise<void>): Promise<void> {
    const told = confirmed.then(() => true);
    while (!(await Promise.race([told, after(timeoutMs)])))
      if (!isBlocked()) throw new Error(`a dead letter was not confirmed within ${timeoutMs} ms`);
  }

  return {
    bind,
    async bury(queue, message, reason) {
      await inTime(publish(queue, message, reason));
      if (!unrouted.delete(String(message.fields.deliveryTag))) return;
      await bind(queue);
      throw new Error(`nothing was bound for ${queue}.failed`);
    },
  };
}

/** Keeps no process alive. */
function after(ms: number): Promise<false> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms, false as const).unref();
  });
}
