import { Prisma } from '../../prisma/generated/client.ts';
import type { AllocationRequest } from '../allocation/facts.ts';
import { type OutboxEvent, queueCancelled, queueJoined } from '../events.ts';
import { insertWaiting } from './begin-waiting.ts';
import { type Reach, withinReach } from './reach.ts';
import type { Store, Transaction } from './store.ts';

/**
 * Puts a user into the queue. A repeat with the same id changes nothing.
 *
 * @returns `queued` is the id of the entry the user has already, when this is not it
 */
export async function joinQueue(
  store: Store,
  request: AllocationRequest,
): Promise<{ readonly joined: boolean; readonly queued: string | undefined }> {
  const { requestId, userId, tenantId, asked, traceId } = request;
  return store.transaction(async (tx) => {
    await tx.$executeRaw`
      INSERT INTO users AS u (id, tenant_id) VALUES (${userId}, ${tenantId}) ON CONFLICT (id) DO UPDATE SET updated_at = now() WHERE FALSE`;
    const [known] = await tx.$queryRaw<{ id: string }[]>`
      SELECT id FROM requests WHERE id = ${requestId}::uuid OR (user_id = ${userId} AND joined AND status = 'waiting') LIMIT 1`;
    if (known !== undefined) return { joined: false, queued: known.id === requestId ? undefined : known.id };
    if (!(await insertWaiting(tx, request, { joined: true }))) return { joined: false, queued: requestId };
    await writeEvent(tx, queueJoined(request, asked.maxWaitMinutes), traceId);
    return { joined: true, queued: undefined };
  });
}

/** Withdraws a request that waits. Cancel against grant: the database picks one. @returns whether it was withdrawn here */
export async function leaveQueue(
  store: Store,
  requestId: string,
  who: Reach | { readonly kind: 'caller'; readonly caller: string },
  reason: string | null = null,
  traceId?: string,
): Promise<boolean> {
  const mine = who.kind === 'caller' ? Prisma.sql`r.caller = ${who.caller}` : withinReach(who, 'r');
  return store.transaction(async (tx) => {
    const [row] = await tx.$queryRaw<{ user_id: string; tier: AllocationRequest['tier'] }[]>`
      UPDATE requests r SET status = 'cancelled', code = 'REQUEST_CANCELLED', decided_at = now(),
        details = CASE WHEN ${reason}::text IS NULL THEN NULL ELSE jsonb_build_object('reason', ${reason}::text) END
      WHERE r.id = ${requestId}::uuid AND r.status = 'waiting' AND ${mine} RETURNING r.user_id, r.tier`;
    if (row === undefined) return false;
    await writeEvent(tx, queueCancelled({ requestId, userId: row.user_id, tier: row.tier }, reason), traceId);
    return true;
  });
}

async function writeEvent(tx: Transaction, { topic, key, payload }: OutboxEvent, traceId: string | undefined): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO outbox (channel, topic, key, payload, trace_id) VALUES ('event', ${topic}, ${key}, ${JSON.stringify(payload)}::jsonb, ${traceId ?? null})`;
}
