import { ActionButton, type Intent } from './confirm.ts';
import { count, duration, moment } from './format.ts';
import { html } from './html.ts';
import { now, parts } from './live.ts';
import { Empty, Panel } from './panel.ts';
import { StoryLink } from './story-link.ts';
import type { LiveAllocation } from './wire-data.ts';

/** The allocations that end first. */
export function LivePanel() {
  const live = parts.live.value;
  const ending = live?.ending ?? [];
  return html`<${Panel} title="Active allocations" id="live" part="live" aside=${live && live.count > ending.length ? `${count(live.count)}, the first to end` : ''}>
    ${
      ending.length === 0
        ? html`<${Empty}>No device is held.<//>`
        : html`<div class="scroll"><table>
      <thead><tr><th>Device</th><th>User</th><th class="far">Tier</th><th class="num far">Held for</th><th class="num">Ends in</th><th><span class="hidden">Action</span></th></tr></thead>
      <tbody>${ending.map((allocation) => html`<${Row} key=${allocation.id} allocation=${allocation} />`)}</tbody></table></div>`
    }
  <//>`;
}

function Row({ allocation }: { readonly allocation: LiveAllocation }) {
  const { id, deviceId, deviceName, userId, tier, allocatedAt, expiresAt } = allocation;
  const left = new Date(expiresAt).getTime() - now.value;
  return html`<tr>
    <th scope="row"><${StoryLink} kind="device" id=${deviceId} label=${deviceName} /></th>
    <td class="cut"><${StoryLink} kind="user" id=${userId} label=${userId} /></td><td class="far">${tier}</td>
    <td class="num far" title=${moment(allocatedAt)}>${duration(Math.max(0, Math.floor((now.value - new Date(allocatedAt).getTime()) / 1_000)) * 1_000)}</td>
    <td class="num" title=${moment(expiresAt)}><${StoryLink} kind="allocation" id=${id} label=${left <= 1_000 ? 'now' : duration(Math.floor(left / 1_000) * 1_000)} /></td>
    <td class="act"><${ActionButton} what=${releaseOf(allocation)} label="Release" title="End this allocation" /></td>
  </tr>`;
}

/** Asks whether an allocation is to be ended. */
export function releaseOf({
  id,
  deviceName,
  userId,
}: {
  readonly id: string;
  readonly deviceName: string;
  readonly userId: string;
}): Intent {
  return {
    action: 'release',
    words: { allocationId: id },
    title: `Release ${deviceName}?`,
    text: `${userId} loses the device at once, and is billed until now.`,
    verb: 'Release',
    grave: true,
    reason: true,
  };
}
