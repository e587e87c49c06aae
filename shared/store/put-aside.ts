import type { AllocateOutcome } from '../allocation/outcome.ts';
import { allocationRefused, queueCancelled } from '../events.ts';
import type { Store } from './store.ts';
import type { WaitingRow } from './waiters.ts';

/** So often a request that cannot be decided is tried before it is refused. */
export const MOST_TRIES = 5;

/**
 * Passes over a waiting request whose decision fails by itself, so that the others go on; after some tries it is refused
 * with INTERNAL. It is seen in the list of the queue by its `retryCount`.
 *
 * @returns the refusal, to be told with `announceEnded`; nothing if it goes on waiting, or somebody else has ended it
 */
export async function putAside(store: Store, { request }: WaitingRow, fault: string): Promise<AllocateOutcome | undefined> {
  const { requestId } = request;
  const reason = `cannot be decided: ${fault.slice(0, 300)}`;
  return store.transaction(async (tx) => {
    const [row] = await tx.$queryRaw<{ status: string }[]>`
      UPDATE requests SET retry_count = retry_count + 1, parked = 'FAULT', parked_at = now(),
        details = ${JSON.stringify({ reason })}::jsonb,
        status = CASE WHEN retry_count + 1 < ${MOST_TRIES}::int THEN 'waiting' ELSE 'refused' END,
        code = CASE WHEN retry_count + 1 < ${MOST_TRIES}::int THEN code ELSE 'INTERNAL' END,
        decided_at = CASE WHEN retry_count + 1 < ${MOST_TRIES}::int THEN NULL ELSE now() END
      WHERE id = ${requestId}::uuid AND status = 'waiting' RETURNING status`;
    if (row?.status !== 'refused') return undefined;
    const refusal = {
      requestId,
      userId: request.userId,
      tenantId: request.tenantId,
      code: 'INTERNAL',
      reason: 'it could not be decided',
    };
    const events = [allocationRefused(refusal), queueCancelled(request, 'INTERNAL')];
    await tx.$executeRaw`
      INSERT INTO outbox (channel, topic, key, payload, trace_id)
      SELECT 'event', x.topic, x.key, x.payload, ${request.traceId ?? null} FROM jsonb_to_recordset(${JSON.stringify(events)}::jsonb) AS x(topic text, key text, payload jsonb)`;
    return { status: 'refused', requestId, code: 'INTERNAL', reason };
  });
}
