import { ActionButton } from './confirm.ts';
import { html } from './html.ts';
import { parts } from './live.ts';
import { Empty, Panel } from './panel.ts';
import type { Strategy } from './wire-data.ts';

/** Where allocations land, and switching it. */
export function StrategyPanel() {
  const strategies = parts.strategies.value ?? [];
  return html`<${Panel} title="Placement strategy" id="strategies" part="strategies">
    ${strategies.length === 0 ? html`<${Empty}>No strategy is stored.<//>` : html`<ul class="rows">${strategies.map((strategy) => html`<${Row} key=${strategy.id} strategy=${strategy} />`)}</ul>`}
  <//>`;
}

function Row({ strategy }: { readonly strategy: Strategy }) {
  const { id, name, type, description, active } = strategy;
  const what = {
    action: 'switch-strategy',
    words: { id },
    title: `Switch to ${name}?`,
    text: 'It decides on every process within two seconds. On a large fleet its indexes are made first.',
    verb: 'Switch',
  };
  return html`<li>
    <span class="cut" title=${description ?? type}>${name}${name === type ? null : html` <small class="muted">${type}</small>`}</span>
    ${active ? html`<span class="pill breaker-closed"><i aria-hidden="true"></i>in force</span>` : html`<${ActionButton} what=${what} label="Switch" />`}
  </li>`;
}
