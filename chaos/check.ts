import { setTimeout as pause } from 'node:timers/promises';
import { checkStore } from '../dev/demo/check-store.ts';
import { standInSummary } from '../dev/demo/compare.ts';
import type { Finding } from '../dev/demo/finding.ts';
import { openLedgerView } from '../dev/demo/ledger-view.ts';
import type { Tally } from '../dev/demo/tally.ts';
import { createStore } from '../shared/store/store.ts';
import { malformedEvents } from '../tests/support/invariants.ts';
import { compareOutcome } from './compare.ts';
import type { Stage } from './stage.ts';

const LOOK_EVERY_MS = 500;
const HOPELESS_MS = 20_000;

/** Reservations of which no event tells what became of them. */
const UNTOLD_RESERVATIONS = `
  SELECT r.id FROM reservations r WHERE
    (r.allocation_id IS NOT NULL AND NOT EXISTS (SELECT FROM outbox o WHERE o.key = r.id::text AND o.topic = 'scheduler.reservation.executed'))
    OR (r.status = 'failed' AND NOT EXISTS (SELECT FROM outbox o WHERE o.key = r.id::text AND o.topic = 'scheduler.reservation.failed'))`;

/** Who waits although a device is free that nobody may say no to: nothing was asked for that it has not. */
const IDLE_WITH_WAITERS = `
  SELECT r.id FROM requests r WHERE r.status = 'waiting' AND r.parked IS NULL AND r.asked -> 'devicePreferences' IS NULL AND r.asked -> 'preferredSpecs' IS NULL
    AND r.waiting_since < now() - interval '5 seconds' AND EXISTS (
      SELECT FROM devices d WHERE d.status = 'running' AND d.allocation_id IS NULL AND NOT d.draining AND d.cleaning_until IS NULL AND d.updated_at < now() - interval '5 seconds'
        AND NOT EXISTS (SELECT FROM reservations v WHERE v.device_id = d.id AND v.status IN ('pending', 'confirmed')))`;

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
    const compared = compareOutcome({ tally, errands, figures, backlog, standIns: summary, events });
    // The rest is a full read: not worth it as long as anything is on its way.
    if (compared.some(({ ok }) => !ok)) return [...compared, namesOf(tally.allocations, figures.allocationIds), faultsOf(tally)];
    return [...compared, ...(await checkStore(databaseUrl, config)), ...(await checkMore(stage))];
  } finally {
    await view.close();
  }
}

/** What callers could not do, however often they tried. */
function faultsOf({ faults }: Tally): Finding {
  return { name: 'no caller gave up', ok: faults.length === 0, seen: faults.slice(0, 5).join('; ') || 'nobody' };
}

/** Which grants callers and store do not agree on: some of them, to look for. */
function namesOf(told: ReadonlySet<string>, kept: ReadonlySet<string>): Finding {
  const untold = [...kept].filter((id) => !told.has(id)).slice(0, 3);
  const unknown = [...told].filter((id) => !kept.has(id)).slice(0, 3);
  const seen = `untold ${untold.join(' ')}; unknown ${unknown.join(' ')}`;
  return { name: 'grants are the same by name', ok: untold.length + unknown.length === 0, seen };
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
      await rows('every reservation that began or failed has its event', UNTOLD_RESERVATIONS),
      await rows('nobody waits beside a free device', IDLE_WITH_WAITERS),
    ];
  } finally {
    await store.close();
  }
}
