import { z } from 'zod';
import type { Notification } from '../notices/notice.ts';
import type { HttpCaller } from './http-caller.ts';
import type { CallAnswer, CallContext } from './neighbour.ts';

/** Asks the notification-service to tell people. */
export interface NotificationClient {
  /** Sends once in effect: a repeat under the same key is known to the receiver. */
  send(notification: Notification, idempotencyKey: string, context: CallContext): Promise<CallAnswer<unknown>>;
  /** Whether it has been failing and is left alone for a while. */
  isLeftAlone(): boolean;
}

export function createNotificationClient(caller: HttpCaller): NotificationClient {
  return {
    send: (notification, idempotencyKey, context) =>
      caller.call({
        ...context,
        method: 'POST',
        path: ['api', 'internal', 'notifications', 'send'],
        body: notification,
        idempotencyKey,
        // Their body says nothing we use; that it is JSON at all shows that the service itself answered.
        schema: z.unknown(),
      }),
    isLeftAlone: () => caller.state() === 'open',
  };
}
