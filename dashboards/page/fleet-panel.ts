import { FleetCanvas } from './fleet-canvas.ts';
import { STATES, sought } from './fleet-states.ts';
import { count, percent } from './format.ts';
import { html } from './html.ts';
import { parts } from './live.ts';
import { Panel } from './panel.ts';
import type { Counts, FleetState } from './wire-data.ts';

/** The fleet by state, as a bar and as a map. */
export function FleetPanel() {
  const fleet = parts.fleet.value;
  return html`<${Panel} title="Fleet" id="fleet" part="fleet" aside=${fleet ? `${count(fleet.total)} devices` : ''}>
    ${fleet && html`<${Bar} counts=${fleet.counts} total=${fleet.total} /><${Legend} counts=${fleet.counts} total=${fleet.total} />`}
    ${fleet?.total === 0 ? html`<p class="empty">No device yet. Import some: <code>npx cloudphone-scheduler devices import</code></p>` : html`<${FleetCanvas} />`}
  <//>`;
}

function Bar({ counts, total }: { readonly counts: Counts; readonly total: number }) {
  return html`<div class="bar" aria-hidden="true">
    ${STATES.map((state) => html`<i key=${state} class="fill-${state}" style=${{ flexGrow: total === 0 ? 0 : counts[state] }}></i>`)}
  </div>`;
}

function Legend({ counts, total }: { readonly counts: Counts; readonly total: number }) {
  const turn = (state: FleetState) => (sought.value = sought.value === state ? undefined : state);
  return html`<ul class="legend">
    ${STATES.map(
      (state) => html`<li key=${state}>
        <button type="button" aria-pressed=${sought.value === state} onClick=${() => turn(state)} title="Show only these, ${percent(counts[state], total)}">
          <i class="swatch fill-${state}" aria-hidden="true"></i>${state}<b>${count(counts[state])}</b>
        </button>
      </li>`,
    )}
  </ul>`;
}
