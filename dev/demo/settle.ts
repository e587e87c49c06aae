import { setTimeout as pause } from 'node:timers/promises';
import type { EventDesk } from './event-desk.ts';
import type { Backlog, LedgerView } from './ledger-view.ts';

const LONGEST_MS = 120_000;
const LOOK_EVERY_MS = 500;

/**
 * Waits until every request is decided, every event published and received, every report, bill and notice delivered.
 *
 * @param say  hears of what is left, now and then
 * @returns what was still left when the patience of two minutes ended; all zero when it did not
 */
export async function settle(view: LedgerView, events: EventDesk | undefined, say: (left: string) => void): Promise<Backlog> {
  const until = performance.now() + LONGEST_MS;
  for (;;) {
    const left = await view.backlog();
    const open = Object.entries({ ...left, events: events === undefined ? 0 : left.events }).filter(([, count]) => count > 0);
    if (open.length === 0 && (await haveArrived(view, events))) return left;
    if (performance.now() > until) return left;
    say(open.map(([what, count]) => `${what} ${count}`).join('  '));
    await pause(LOOK_EVERY_MS);
  }
}

async function haveArrived(view: LedgerView, events: EventDesk | undefined): Promise<boolean> {
  return events === undefined || [...(await view.figures()).eventIds].every((id) => events.arrived.has(id));
}
