import { z } from 'zod';
import {
  NOT_FOUND,
  type StandIn,
  type StandInAnswer,
  type StandInControl,
  type StandInOptions,
  type StandInRequest,
  startStandIn,
} from './stand-in.ts';

const notification = z.object({
  userId: z.string(),
  type: z.string(),
  title: z.string(),
  message: z.string(),
  data: z.record(z.string(), z.unknown()).default({}),
  channels: z.array(z.string()).min(1),
  priority: z.union([z.string(), z.number()]).optional(),
});

export type SentNotification = z.output<typeof notification>;

export interface NotificationServiceControl extends StandInControl {
  /** What was sent, each idempotency key once. */
  sent(): readonly SentNotification[];
}

/** Starts a notification-service that keeps what it was told to send, each idempotency key once. */
export async function startNotificationService(options: StandInOptions): Promise<StandIn<NotificationServiceControl>> {
  const sent = new Map<string, SentNotification>();

  function answer({ method, path, body, idempotencyKey }: StandInRequest): StandInAnswer {
    if (method !== 'POST' || path.join('/') !== 'api/internal/notifications/send') return NOT_FOUND;
    const parsed = notification.safeParse(body);
    if (!parsed.success) return { status: 400, body: { message: z.prettifyError(parsed.error) } };
    if (idempotencyKey === undefined) return { status: 400, body: { message: 'Idempotency-Key is needed' } };
    if (!sent.has(idempotencyKey)) sent.set(idempotencyKey, parsed.data);
    return { status: 200, body: { success: true } };
  }

  const server = await startStandIn(options, { answer, summary: () => ({ sent: sent.size, types: typesOf(sent) }), controls: {} });
  return { ...server, control: { ...server.control, sent: () => [...sent.values()] } };
}

function typesOf(sent: ReadonlyMap<string, SentNotification>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { type } of sent.values()) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}
