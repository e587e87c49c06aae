import { Prisma } from '../../prisma/generated/client.ts';
import { blockOf, type Refusal } from '../allocation/decide-eligibility.ts';
import type { AllocationRequest, UserFacts } from '../allocation/facts.ts';
import { type OutboxEvent, queueCancelled, queueJoined } from '../events.ts';
import { insertWaiting } from './begin-waiting.ts';
import { type Reach, withinReach } from './reach.ts';
import type { Store, Transaction } from './store.ts';

/** The closed set of answers. `known`: there is a request of this id already. */
export type Joining = { readonly kind: 'joined' | 'known' } | { readonly kind: 'refused'; readonly refusal: Refusal };

/**
 * Puts a user into the queue, under the lock every change of the user takes. A repeat with the same id changes nothing; who is
 * blocked or in the queue already is refused.
 *
 * @param replyTo  the instance that is told what becomes of the entry
 */
export async function joinQueue(store: Store, request: AllocationRequest, replyTo?: string): Promise<Joining> {
  const { requestId, userId, tenantId, asked, traceId } = request;
  return store.transaction(async (tx) => {
    await tx.$executeRaw`
      INSERT INTO users AS u (id, tenant_id) VALUES (${userId}, ${tenantId})
      ON CONFLICT (id) DO UPDATE SET tenant_id = excluded.tenant_id, updated_at = now() WHERE u.tenant_id IS NULL AND excluded.tenant_id IS NOT NULL`;
    const known = await readStanding(tx, requestId, userId);
    if (known.id === requestId) return { kind: 'known' };
    const blocked = blockOf(known);
    if (blocked !== undefined) return { kind: 'refused', refusal: blocked };
    if (known.id !== null) return alreadyQueued(known.id);
    if (!(await insertWaiting(tx, request, { joined: true, replyTo }))) return alreadyQueued(requestId);
    await writeEvent(tx, queueJoined(request, asked.maxWaitMinutes), traceId);
    return { kind: 'joined' };
  });
}

function alreadyQueued(queueId: string): Joining {
  return { kind: 'refused', refusal: { code: 'ALREADY_QUEUED', reason: 'the user is in the queue already', details: { queueId } } };
}

/** How a user stands, and the request of this id, or else the entry they have. */
async function readStanding(tx: Transaction, requestId: string, userId: string) {
  const [row] = await tx.$queryRaw<{ state: UserFacts['state']; inArrears: boolean; id: string | null }[]>`
    SELECT u.state, u.arrears_since IS NOT NULL AS "inArrears", (
      SELECT r.id::text FROM requests r WHERE r.id = ${requestId}::uuid OR (r.user_id = u.id AND r.joined AND r.status = 'waiting')
      ORDER BY r.id <> ${requestId}::uuid LIMIT 1) AS id
    FROM users u WHERE u.id = ${userId}`;
  if (row === undefined) throw new Error(`user ${userId} was locked and is gone`);
  return row;
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
