import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import { SchedulerClient } from '../../queues/client.ts';
import { QUEUES } from '../../queues/names.ts';
import type { ChaosFault } from '../fault.ts';
import type { Stage } from '../stage.ts';

const FLOOD = 400;
/** Longest the flood waits for its answers, ms. */
const PATIENCE_MS = 120_000;
const POISONED_QUEUES = Object.values(QUEUES);

/** What may come in that should not. */
export const INPUT_FAULTS: readonly ChaosFault[] = [
  {
    name: 'poison-jobs',
    says: 'jobs nobody can read wait in every queue',
    lastsMs: 0,
    strike: async (stage) => {
      for (const name of POISONED_QUEUES) await poison(stage, name);
    },
  },
  {
    name: 'poison-events',
    says: 'events nobody can read arrive, and some that are twice or out of order',
    lastsMs: 0,
    strike: async ({ events }) => {
      const userId = `chaos-nobody-${randomUUID()}`;
      await events.publish('device.deleted', 'not JSON at all', randomUUID());
      await events.publish('user.suspended', { userId: 7 }, randomUUID());
      await events.publish('billing.overdue', '[]', randomUUID());
      for (const topic of ['user.activated', 'user.suspended', 'user.suspended', 'user.deleted', 'user.activated'])
        await events.publish(topic, { userId }, `${userId}-${topic}`);
    },
    // What nobody can read comes out again where the dead letters go.
    evidence: ({ events }) => events.heard(/^scheduler\..+\.failed$/),
  },
  {
    name: 'poison-row',
    says: 'the database refuses to end one allocation; all others are ended',
    lastsMs: 12_000,
    strike: async ({ sql }) => {
      await sql(`CREATE OR REPLACE FUNCTION chaos_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'this one not' USING ERRCODE = 'check_violation'; END $$`);
      const [row] = await sql<{ id: string }>(`SELECT id FROM allocations WHERE status = 'allocated' ORDER BY id LIMIT 1`);
      await sql(`CREATE TRIGGER chaos_refuse BEFORE UPDATE ON allocations FOR EACH ROW
        WHEN (OLD.id = '${row?.id ?? randomUUID()}' AND NEW.status <> OLD.status) EXECUTE FUNCTION chaos_refuse()`);
    },
    undo: async ({ sql }) => {
      await sql('DROP TRIGGER IF EXISTS chaos_refuse ON allocations');
      await sql('UPDATE stuck_ends SET next_attempt_at = now()');
    },
  },
  {
    name: 'hot-tenant',
    says: `one tenant asks for ${FLOOD} devices at once`,
    lastsMs: 0,
    strike: async ({ redis, config, tally }) => {
      const client = new SchedulerClient({ redis: { url: redis.url }, prefix: config.QUEUE_PREFIX, service: 'chaos-flood' });
      const requests = Array.from({ length: FLOOD }, (_, index) => ({ userId: `chaos-flood-${index % 40}`, tenantId: 'chaos-flood' }));
      try {
        const first = await client.allocateMany(requests, { timeoutMs: PATIENCE_MS });
        const granted = first.flatMap((outcome) => (outcome.status === 'granted' ? [outcome.allocation.allocationId] : []));
        for (const allocationId of granted) tally.allocations.add(allocationId);
        await Promise.all(granted.map((allocationId) => client.release({ allocationId }, { timeoutMs: PATIENCE_MS })));
      } finally {
        await client.close();
      }
    },
  },
];

async function poison({ redis, config }: Stage, name: string): Promise<void> {
  const queue = new Queue(name, { connection: { url: redis.url }, prefix: config.QUEUE_PREFIX });
  try {
    await queue.add('nobody-knows-this', { surprise: true });
    await queue.add(name, { surprise: true });
  } finally {
    await queue.close();
  }
}
