import type { ComponentChildren } from 'preact';
import { ActionButton } from './confirm.ts';
import { duration, moment, relative, short } from './format.ts';
import { html } from './html.ts';
import { now } from './live.ts';
import { releaseOf } from './live-panel.ts';
import type { Story } from './story.ts';
import { StoryLink } from './story-link.ts';

/** Lists of a user or a device: what they held, asked and reserved, the newest first. */
export function StoryLists({ story }: { readonly story: Story }) {
  if (story.kind !== 'user' && story.kind !== 'device') return html`<${Jobs} story=${story} />`;
  const { allocations, requests, reservations, events, jobs } = story;
  return html`<div class="grid">
    ${list(
      'Allocations',
      ['Device', 'User', 'From', 'Held for', 'End', 'Billing', ''],
      allocations.map((allocation) => [
        html`<${StoryLink} kind="device" id=${allocation.deviceId} label=${allocation.deviceName} />`,
        html`<${StoryLink} kind="user" id=${allocation.userId} label=${allocation.userId} />`,
        html`<${StoryLink} kind="allocation" id=${allocation.id} label=${moment(allocation.allocatedAt)} />`,
        duration(
          Math.floor((new Date(allocation.endedAt ?? now.value).getTime() - new Date(allocation.allocatedAt).getTime()) / 1_000) * 1_000,
        ),
        allocation.endReason ?? 'live',
        allocation.billing ?? '–',
        allocation.endedAt === null ? html`<${ActionButton} what=${releaseOf(allocation)} label="Release" />` : '',
      ]),
    )}
    ${list(
      story.kind === 'device' ? 'Requests' : 'Waited or refused',
      ['Request', 'Tier', 'Status', 'Asked', 'Decided'],
      requests.map((request) => [
        html`<${StoryLink} kind="request" id=${request.id} label=${short(request.id)} />`,
        request.tier,
        request.code === null ? request.status : `${request.status}: ${request.code}`,
        relative(request.createdAt, now.value),
        request.decidedAt === null
          ? '–'
          : `after ${duration(new Date(request.decidedAt).getTime() - new Date(request.createdAt).getTime())}`,
      ]),
    )}
    ${list(
      'Reservations',
      ['User', 'Device', 'From', 'To', 'Status'],
      reservations.map((reservation) => [
        html`<${StoryLink} kind="user" id=${reservation.userId} label=${reservation.userId} />`,
        reservation.deviceName ?? '–',
        html`<${StoryLink} kind="reservation" id=${reservation.id} label=${moment(reservation.startsAt)} />`,
        moment(reservation.endsAt),
        reservation.status,
      ]),
    )}
    ${list(
      'Events of the latest allocations',
      ['Event', 'When', 'Status', 'Attempts', 'Error'],
      events.map(({ topic, createdAt, status, attempts, lastError }) => [topic, moment(createdAt), status, attempts, lastError ?? '–']),
    )}
    ${list(
      'Jobs of the latest allocations and requests',
      ['Job', 'When', 'State', 'Attempts', 'Error'],
      jobs.map(({ queue, id, name, at, state, attempts, failedReason }) => [
        html`<a href="/queues/queue/${queue}/${encodeURIComponent(id)}">${queue}/${name}</a>`,
        moment(at),
        state,
        attempts,
        failedReason ?? '–',
      ]),
    )}
    <${Jobs} story=${story} />
  </div>`;
}

function list(title: string, heads: readonly string[], rows: readonly (readonly ComponentChildren[])[]) {
  return html`<section class="panel wide"><header class="panel-head"><h2>${title}</h2></header>
    ${
      rows.length === 0
        ? html`<p class="empty">None.</p>`
        : html`<div class="scroll"><table>
      <thead><tr>${heads.map((head) => html`<th key=${head}>${head}</th>`)}</tr></thead>
      <tbody>${rows.map((cells, index) => html`<tr key=${index}>${cells.map((cell, column) => html`<td key=${column}>${cell}</td>`)}</tr>`)}</tbody>
    </table></div>`
    }
  </section>`;
}

/** Jobs with what their workers noted. */
function Jobs({ story }: { readonly story: Story }) {
  const told = story.jobs.filter(({ logs }) => logs.length > 0);
  if (told.length === 0) return null;
  return html`<section class="panel"><header class="panel-head"><h2>Logs of jobs</h2></header>
    ${told.map((job) => html`<h3 key=${job.id}><a href="/queues/queue/${job.queue}/${job.id}">${job.queue}/${job.name}</a></h3><pre class="logs">${job.logs.join('\n')}</pre>`)}
  </section>`;
}
