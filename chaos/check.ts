import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { checkStore } from '../dev/demo/check-store.ts';
import { standInSummary } from '../dev/demo/compare.ts';
import { agree, type Finding } from '../dev/demo/finding.ts';
import { openLedgerView } from '../dev/demo/ledger-view.ts';
import type { Tally } from '../dev/demo/tally.ts';
import { createStore } from '../shared/store/store.ts';
import { malformedEvents } from '../tests/support/invariants.ts';
import { compareOutcome } from './compare.ts';
import { KEPT_ASIDE, type Stage } from './stage.ts';
import { IDLE_WITH_WAITERS } from './watch.ts';

const usedSizes = z.object({ use: z.object({ memoryGB: z.number(), storageGB: z.number() }) });

const LOOK_EVERY_MS = 500;
const HOPELESS_MS = 20_000;

const untold = (row: string, topic: string) =>
  `NOT EXISTS (SELECT FROM outbox o WHERE o.key = ${row}::text AND o.topic = 'scheduler.${topic}')`;

/** Reservations of which no event tells what became of them. */
const UNTOLD_RESERVATIONS = `
  SELECT r.id FROM reservations r WHERE ${untold('r.id', 'reservation.created')}
    OR (r.allocation_id IS NOT NULL AND ${untold('r.id', 'reservation.executed')})
    OR (r.status = 'failed' AND ${untold('r.id', 'reservation.failed')})
    OR (r.status = 'cancelled' AND ${untold('r.id', 'reservation.cancelled')})
    OR (r.status = 'expired' AND ${untold('r.id', 'reservation.expired')})
    OR (r.reminded_at IS NOT NULL AND ${untold('r.id', 'reservation.reminder')})`;

/** Who has waited in the queue, and no event tells how that ended. */
const UNTOLD_WAITERS = `
  SELECT r.id FROM requests r WHERE r.waiting_since IS NOT NULL AND (${untold('r.id', 'queue.joined')}
    OR (r.status = 'granted' AND ${untold('r.id', 'queue.fulfilled')})
    OR (r.status IN ('cancelled', 'refused') AND ${untold('r.id', 'queue.cancelled')})
    OR (r.status = 'timed_out' AND ${untold('r.id', 'queue.expired')}))`;

/**
 * Waits until everything has left the house and all of it agrees: the store with itself (the invariants), and with what callers were
 * told, what the neighbours were told, and what was published.
 *
 * @param patienceMs  after this long the findings are given as they are
 */
export async function untilSettled(stage: Stage, patienceMs: number): Promise<readonly Finding[]> {
  // Who gave up does not come back: only what is on its way is waited for then.
  const until = performance.now() + (stage.tally.faults.length > 0 ? Math.min(patienceMs, HOPELESS_MS) : patienceMs);
  for (;;) {
    const findings = await look(stage);
    if (findings.every(({ ok }) => ok) || performance.now() > until) return findings;
    await pause(LOOK_EVERY_MS);
  }
}

async function look(stage: Stage): Promise<readonly Finding[]> {
  const { databaseUrl, standIns, tally, errands, events, config } = stage;
  const view = await openLedgerView(databaseUrl);
  try {
    const backlog = await view.backlog();
    const figures = await view.figures();
    const summary = standInSummary.parse(standIns.summary());
    const compared = compareOutcome({
      ...{ tally, errands, figures, backlog, events },
      standIns: summary,
      reshuffled: standIns.billing.control.reshuffled(),
    });
    // The rest is a full read: not worth it as long as anything is on its way.
    if (compared.some(({ ok }) => !ok)) return [...compared, await namesOf(stage, figures.allocationIds), faultsOf(tally)];
    return [
      ...compared,
      ...(await checkStore(databaseUrl, config)),
      ...(await checkMore(stage)),
      ...(await checkOrderAndSizes(stage)),
      ...(await checkForbidden(stage)),
    ];
  } finally {
    await view.close();
  }
}

/** What callers could not do, however often they tried. */
function faultsOf({ faults }: Tally): Finding {
  return { name: 'no caller gave up', ok: faults.length === 0, seen: faults.slice(0, 5).join('; ') || 'nobody' };
}

/** Which grants callers and store do not agree on: some of them, to look for, with who asked. */
async function namesOf({ sql, tally: { allocations: told } }: Stage, kept: ReadonlySet<string>): Promise<Finding> {
  const untoldIds = [...kept].filter((id) => !told.has(id)).slice(0, 3);
  const unknown = [...told].filter((id) => !kept.has(id)).slice(0, 3);
  const rows = await sql<{ who: string }>(
    `SELECT concat_ws(' ', a.id, a.user_id, r.source, r.caller) AS who FROM allocations a LEFT JOIN requests r ON r.id = a.request_id WHERE a.id = ANY ($1::uuid[])`,
    [untoldIds],
  );
  const seen = `untold ${rows.map(({ who }) => who).join(', ')}; unknown ${unknown.join(' ')}`;
  return { name: 'grants are the same by name', ok: untoldIds.length + unknown.length === 0, seen };
}

/** Events of one thing that were heard in another order than they were written in, and sizes that do not net to what is held. */
async function checkOrderAndSizes({ sql, events, standIns }: Stage): Promise<Finding[]> {
  const places = new Map([...events.arrived.keys()].map((id, place) => [id, place]));
  const written = await sql<{ key: string; id: string }>(
    `SELECT key, event_id AS id FROM outbox o WHERE channel = 'event' AND status = 'delivered' ORDER BY o.id`,
  );
  const overtaken = [...Map.groupBy(written, ({ key }) => key)].filter(([, rows]) =>
    rows.some(({ id }, index) => (places.get(id) ?? 0) < (places.get(rows[index - 1]?.id ?? '') ?? -1)),
  );
  const [held] = await sql<{ memory: number; storage: number }>(`SELECT coalesce(sum(memory_mb), 0)::float8 / 1024 AS memory,
    coalesce(sum(storage_mb), 0)::float8 / 1024 AS storage FROM allocations WHERE status = 'allocated'`);
  const { use } = usedSizes.parse(standIns.user.summary());
  return [
    {
      name: 'events of one thing arrive in the order they were written in',
      ok: overtaken.length === 0,
      seen:
        overtaken.length === 0
          ? `${written.length} events`
          : overtaken
              .slice(0, 3)
              .map(([key]) => key)
              .join(', '),
    },
    agree('reported memory and storage net to the leases that live, in GB', [
      ['memory', Math.round(use.memoryGB), Math.round(held?.memory ?? 0)],
      ['storage', Math.round(use.storageGB), Math.round(held?.storage ?? 0)],
    ]),
  ];
}

/** Nobody may have these, and nobody has what was given up. Some devices are kept from everybody by the stage, see `keepAside`. */
async function checkForbidden({ sql, errands }: Stage): Promise<Finding[]> {
  const kept = await sql<{ id: string }>(
    `SELECT a.id FROM allocations a JOIN devices d ON d.id = a.device_id WHERE d.name LIKE '${KEPT_ASIDE}%'`,
  );
  const anyway = await sql<{ id: string }>(
    `SELECT r.id FROM requests r WHERE r.id = ANY ($1::uuid[]) AND (r.status <> 'cancelled' OR EXISTS (SELECT FROM allocations a WHERE a.request_id = r.id))`,
    [[...errands.withdrawn]],
  );
  const finding = (name: string, rows: readonly { readonly id: string }[]) => {
    const ids = rows.map(({ id }) => id).join(', ');
    return { name, ok: rows.length === 0, seen: ids === '' ? 'no violation' : ids };
  };
  return [
    finding('nobody was given a device that is drained, cleaned or away', kept),
    finding('what was withdrawn was never granted', anyway),
  ];
}

async function checkMore({ databaseUrl, sql }: Stage): Promise<Finding[]> {
  const store = createStore({ databaseUrl, poolSize: 1, acquireTimeoutMs: 5_000, statementTimeoutMs: 60_000, applicationName: 'chaos' });
  try {
    const rows = async (name: string, text: string) => {
      const found = await sql<{ id: string }>(text);
      return { name, ok: found.length === 0, seen: found.length === 0 ? 'no violation' : found.map(({ id }) => id).join(', ') };
    };
    const malformed = await malformedEvents(store);
    return [
      { name: 'every event is as its schema says', ok: malformed.length === 0, seen: malformed.slice(0, 3).join('; ') || 'no violation' },
      await rows('every state of a reservation has its event', UNTOLD_RESERVATIONS),
      await rows('every state of a waiter has its event', UNTOLD_WAITERS),
      await rows('nobody waits beside a free device', IDLE_WITH_WAITERS),
    ];
  } finally {
    await store.close();
  }
}
