import { publishedBody, publishedSchemaOf } from '../../shared/events.ts';
import { checkInvariants } from '../../shared/store/invariants.ts';
import type { Store } from '../../shared/store/store.ts';

/** The broken rules, as sentences; empty when all hold. Among them that each event in the outbox is as its schema says. */
export async function readInvariants(store: Store): Promise<string[]> {
  const { checks } = await checkInvariants(store);
  const broken = checks.filter(({ ok }) => !ok).map(({ name, violations, sample }) => `${name}: ${violations} (${sample.join(', ')})`);
  return [...broken, ...(await malformedEvents(store))];
}

/** What would be published and is not as `docs/events` says, a sentence each. */
export async function malformedEvents(store: Store): Promise<string[]> {
  const rows = await store.prisma.outboxEntry.findMany({ where: { channel: 'event' } });
  return rows.flatMap(({ topic, payload, eventId, createdAt }) => {
    const body = publishedBody({ eventId, topic, createdAt, payload: payload as Readonly<Record<string, unknown>> });
    const schema = publishedSchemaOf(topic);
    if (schema === undefined) return [`nobody has said what ${topic} looks like`];
    return (schema.safeParse(body).error?.issues ?? []).map(({ path, message }) => `${topic}: ${path.join('.')}: ${message}`);
  });
}
