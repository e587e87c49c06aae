import { count, percent } from './format.ts';
import { html } from './html.ts';
import { parts } from './live.ts';
import { Empty, Panel } from './panel.ts';
import type { Breaker } from './wire-data.ts';

const SAYS: Readonly<Record<Breaker, string>> = {
  closed: 'answers',
  'half-open': 'is being tried',
  open: 'left alone',
  unknown: 'unknown',
};
const CACHES: Readonly<Record<string, string>> = { available: 'available devices', quota: 'quotas', balance: 'balances' };

/** The breakers of the neighbours, and how the caches do. */
export function HealthPanel() {
  const health = parts.health.value;
  return html`<${Panel} title="Neighbours and caches" id="health" part="health">
    <ul class="rows">${Object.entries(health?.neighbours ?? {}).map(
      ([name, breaker]) => html`<li key=${name}>
        <span>${name}-service</span><span class="pill breaker-${breaker}" title="Breaker ${breaker}"><i aria-hidden="true"></i>${SAYS[breaker]}</span>
      </li>`,
    )}</ul>
    <h3>Cache hits, last 5 minutes</h3>
    ${
      (health?.caches ?? []).length === 0
        ? html`<${Empty}>No read lately.<//>`
        : html`<ul class="rows">${(health?.caches ?? []).map(
            ({ cache, hits, misses }) => html`<li key=${cache}><span>${CACHES[cache] ?? cache}</span>
        <meter min="0" max="1" value=${hits / (hits + misses)} title="${count(hits)} of ${count(hits + misses)}"></meter><b class="num">${percent(hits, hits + misses)}</b></li>`,
          )}</ul>`
    }
  <//>`;
}
