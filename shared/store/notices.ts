import type { OutboxNotice } from '../notices/notice.ts';
import type { Store, Transaction } from './store.ts';

/**
 * Writes notices to people. One that was written before (same `event_id`) changes nothing, so a job that runs twice tells
 * once.
 *
 * Where a statement writes outbox rows of its own, notices may be among them: with their `event_id`, and ON CONFLICT DO NOTHING.
 *
 * @param writer  the transaction of the state change that is told of
 * @returns how many were new
 */
export async function writeNotices(
  writer: Transaction | Store['prisma'],
  notices: readonly (OutboxNotice & { readonly trace_id?: string | null })[],
): Promise<number> {
  if (notices.length === 0) return 0;
  return writer.$executeRaw`
    INSERT INTO outbox (event_id, channel, topic, key, payload, trace_id)
    SELECT x.event_id, x.channel, x.topic, x.key, x.payload, x.trace_id
    FROM jsonb_to_recordset(${JSON.stringify(notices)}::jsonb) AS x(event_id uuid, channel text, topic text, key text, payload jsonb, trace_id text)
    ON CONFLICT (event_id) WHERE channel = 'notice' DO NOTHING`;
}
