import { age, count, duration, percent } from './format.ts';
import { html } from './html.ts';
import { parts } from './live.ts';
import type { Minute } from './wire-data.ts';

/** The numbers one looks at first. */
export function KeyFigures() {
  const fleet = parts.fleet.value;
  const live = parts.live.value?.count;
  const waiting = parts.waiting.value;
  const waits = (waiting ?? []).reduce((sum, tier) => sum + tier.count, 0);
  const oldest = Math.max(0, ...(waiting ?? []).map(({ oldestS }) => oldestS));
  const minute = lastWhole(parts.minutes.value ?? []);
  const caches = parts.health.value?.caches ?? [];
  const hits = caches.reduce((sum, { hits: some }) => sum + some, 0);
  const reads = hits + caches.reduce((sum, { misses }) => sum + misses, 0);
  const dead = parts.dead.value?.total;
  const slow = slowest(parts.minutes.value ?? []);
  return html`<section class="figures" aria-label="Key figures">
    ${figure('Devices free', fleet && count(fleet.counts.free), fleet && `${share(fleet.counts.free, fleet.total)} of ${count(fleet.total)}`)}
    ${figure('Allocations', live === undefined ? undefined : count(live), fleet && `${share(live ?? 0, fleet.total)} of fleet`)}
    ${figure('Waiting', waiting && count(waits), waits === 0 ? 'nobody' : `longest ${age(oldest * 1_000)}`)}
    ${figure('Grants', minute && count(minute.granted), 'per minute')}
    ${figure('Refusals', minute && count(minute.refused), 'per minute')}
    ${figure('Expiries', minute && count(minute.expired), 'per minute')}
    ${figure('Wait p50', slow?.p50 == null ? '–' : duration(slow.p50), slow?.p95 == null ? 'no grant lately' : `p95 ${duration(slow.p95)}`)}
    ${figure('Cache hits', reads === 0 ? '–' : percent(hits, reads), reads === 0 ? 'no read lately' : 'last 5 minutes')}
    ${figure('Dead letters', dead === undefined ? undefined : count(dead), dead ? 'need somebody' : 'none', dead ? 'bad' : '')}
  </section>`;
}

const share = (part: number, all: number): string => (all === 0 ? '0 %' : `${Math.round((100 * part) / all)} %`);

function figure(label: string, value: string | undefined, note: string | undefined, mood = '') {
  return html`<div class="figure ${mood}"><span class="figure-label">${label}</span><output>${value ?? '…'}</output><small>${note ?? ' '}</small></div>`;
}

const WARM_UP_MS = 20_000;

/** The minute that says the most: the one before the current one, until that is a third over and says more. */
function lastWhole(minutes: readonly Minute[]): Minute | undefined {
  const [before, current] = minutes.slice(-2);
  if (before === undefined || current === undefined) return before ?? current;
  return before.granted + before.refused + before.expired > 0 || Date.now() - current.at < WARM_UP_MS
    ? (busier(before, current) ?? before)
    : current;
}

/** A minute that has more already is told at once. */
function busier(before: Minute, current: Minute): Minute | undefined {
  return current.granted > before.granted ? current : undefined;
}

/** The last minute in which anything was granted. */
function slowest(minutes: readonly Minute[]): Minute | undefined {
  return minutes.findLast(({ p50 }) => p50 !== null);
}
