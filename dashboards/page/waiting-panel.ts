import { age, count, moment, relative } from './format.ts';
import { html } from './html.ts';
import { now, parts } from './live.ts';
import { Empty, Panel } from './panel.ts';

/** The highest first. */
const TIERS = ['enterprise', 'premium', 'vip', 'standard', 'free'];

/** Who waits, by tier: how many, how long already, and when they may expect a device. */
export function WaitingPanel() {
  const tiers = (parts.waiting.value ?? []).toSorted((a, b) => TIERS.indexOf(a.tier) - TIERS.indexOf(b.tier));
  const all = tiers.reduce((sum, tier) => sum + tier.count, 0);
  return html`<${Panel} title="Waiting" id="waiting" part="waiting" aside=${all === 0 ? '' : `${count(all)} in all`}>
    ${
      tiers.length === 0
        ? html`<${Empty}>Nobody waits.<//>`
        : html`<div class="scroll"><table>
      <thead><tr><th>Tier</th><th class="num">Waiting</th><th class="num far" title="At a limit or without balance: passed over for now">Parked</th>
        <th class="num" title="Age of the one in the middle">Median</th><th class="num">Oldest</th><th class="num" title="When the next one is expected to get a device">Next start</th></tr></thead>
      <tbody>${tiers.map(
        (tier) => html`<tr key=${tier.tier}>
          <th scope="row">${tier.tier}</th><td class="num">${count(tier.count)}</td><td class="num far ${tier.parked === 0 ? 'nil' : ''}">${count(tier.parked)}</td>
          <td class="num">${age(tier.medianS * 1_000)}</td><td class="num">${age(tier.oldestS * 1_000)}</td>
          <td class="num" title=${tier.nextStart === null ? '' : `50 %: ${moment(tier.nextStart)}${tier.lastStart === null ? '' : `, all with 90 %: ${moment(tier.lastStart)}`}`}>${expected(tier.nextStart)}</td>
        </tr>`,
      )}</tbody></table></div>`
    }
  <//>`;
}

function expected(at: string | null): string {
  if (at === null) return 'unknown';
  return new Date(at).getTime() <= now.value ? 'soon' : relative(at, now.value);
}
