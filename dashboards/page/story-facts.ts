import type { ComponentChildren } from 'preact';
import { ActionButton } from './confirm.ts';
import { count, duration, moment, relative } from './format.ts';
import { html } from './html.ts';
import { now } from './live.ts';
import { releaseOf } from './live-panel.ts';
import type { Story, StoryAllocation, StoryDevice } from './story.ts';
import { StoryLink } from './story-link.ts';

/** What the story is about, how it stands, and what can be done. */
export function StoryFacts({ story }: { readonly story: Story }) {
  const { kind, id, device, user, allocations, reservations, requests } = story;
  const live = allocations.find(({ endedAt }) => endedAt === null);
  const name =
    device?.name ?? (kind === 'user' ? id : (allocations[0]?.deviceName ?? requests[0]?.userId ?? reservations[0]?.userId ?? id));
  return html`<header class="story-head">
    <div><p class="kind">${kind}</p><h1>${name}</h1>${name === id ? null : html`<code class="id">${id}</code>`}</div>
    <div class="story-actions">
      ${live === undefined || kind === 'user' ? null : html`<${ActionButton} what=${releaseOf(live)} label="Release" />`}
      ${device === undefined ? null : html`<${ActionButton} what=${drainOf(device)} label=${device.draining ? 'Back into service' : 'Drain'} />`}
    </div>
    <dl class="facts">${device && deviceFacts(device)}${user && userFacts(user, allocations)}${device === undefined && user === undefined && allocations[0] ? allocationFacts(allocations[0]) : null}
      ${device === undefined && user === undefined && allocations.length === 0 && requests[0] ? fact('Status', requests[0].code === null ? requests[0].status : `${requests[0].status}, ${requests[0].code}`) : null}
    </dl>
  </header>`;
}

const fact = (label: string, value: ComponentChildren) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`;

function deviceFacts(device: StoryDevice) {
  const state = [
    device.status,
    device.draining ? 'draining' : '',
    device.cleaning ? 'cleaning' : '',
    device.allocationId === null ? '' : 'held',
  ].filter(Boolean);
  return html`${fact('State', state.join(', '))}${fact('Place', [device.region, device.nodeId].filter(Boolean).join(' · ') || '–')}
    ${fact('Kind', `${device.type}, ${device.providerType}`)}
    ${fact('Size', `${device.cpuCores} cores, ${count(Math.round(device.memoryMB / 1_024))} GB, ${count(Math.round(device.storageMB / 1_024))} GB disk`)}
    ${fact('Health', count(device.healthScore))}${fact('Fence', device.fence)}
    ${device.allocationId === null ? null : fact('Held by', html`<${StoryLink} kind="allocation" id=${device.allocationId} label="this allocation" />`)}`;
}

function userFacts(user: NonNullable<Story['user']>, allocations: readonly StoryAllocation[]) {
  return html`${fact('State', user.arrearsSince === null ? user.state : `${user.state}, in arrears since ${moment(user.arrearsSince)}`)}
    ${fact('Tenant', user.tenantId ?? '–')}${fact('Holds', count(allocations.filter(({ endedAt }) => endedAt === null).length))}
    ${fact('Failed payments', count(user.paymentFailures))}`;
}

function allocationFacts(allocation: StoryAllocation) {
  const { deviceId, deviceName, userId, tier, strategy, fence, allocatedAt, expiresAt, endedAt, endReason, billing, billedSeconds } =
    allocation;
  const held = new Date(endedAt ?? now.value).getTime() - new Date(allocatedAt).getTime();
  return html`${fact('User', html`<${StoryLink} kind="user" id=${userId} label=${userId} />`)}${fact('Device', html`<${StoryLink} kind="device" id=${deviceId} label=${deviceName} />`)}
    ${fact('State', endedAt === null ? `live, ends ${relative(expiresAt, now.value)}` : (endReason ?? 'ended'))}${fact('Held for', duration(Math.floor(held / 1_000) * 1_000))}
    ${fact('Billed', billing === null ? 'not yet' : `${duration((billedSeconds ?? 0) * 1_000)}, ${billing}`)}${fact('Tier', tier)}${fact('Strategy', strategy)}${fact('Fence', fence)}`;
}

function drainOf({ id, name, draining }: StoryDevice) {
  const words = { deviceId: id };
  return draining
    ? {
        action: 'activate',
        words,
        title: `Take ${name} back into service?`,
        text: 'It may be given out again at once.',
        verb: 'Back into service',
      }
    : {
        action: 'drain',
        words,
        title: `Drain ${name}?`,
        text: 'It is given to nobody any more; who holds it keeps it.',
        verb: 'Drain',
        grave: true,
      };
}
