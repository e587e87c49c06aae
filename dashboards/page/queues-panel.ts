import { ActionButton } from './confirm.ts';
import { count } from './format.ts';
import { html } from './html.ts';
import { parts } from './live.ts';
import { Panel } from './panel.ts';
import type { QueueNow } from './wire-data.ts';

/** Not shown where there is little room. */
const FAR: readonly string[] = ['delayed', 'completed'];
const STATES = ['waiting', 'active', 'delayed', 'failed', 'completed'] as const;

/** What is in the queues. Each leads to Bull Board. */
export function QueuesPanel() {
  return html`<${Panel} title="Queues" id="queues" part="queues" aside=${html`<a href="/queues">Bull Board</a>`}>
    <div class="scroll"><table>
      <thead><tr><th>Queue</th>${STATES.map((state) => html`<th class=${FAR.includes(state) ? 'num far' : 'num'} key=${state}>${state}</th>`)}<th><span class="hidden">Action</span></th></tr></thead>
      <tbody>${(parts.queues.value ?? []).map((queue) => html`<${Row} key=${queue.name} queue=${queue} />`)}</tbody></table></div>
  <//>`;
}

function Row({ queue }: { readonly queue: QueueNow }) {
  const { name, paused } = queue;
  const what = paused
    ? { action: 'resume-queue', words: { name }, title: `Let ${name} go on?`, text: 'Workers take its jobs again.', verb: 'Resume' }
    : {
        action: 'pause-queue',
        words: { name },
        title: `Pause ${name}?`,
        text: 'No worker takes a job of it until it is resumed. Jobs are still accepted.',
        verb: 'Pause',
        grave: true,
      };
  const path = (state: string) => `/queues/queue/${encodeURIComponent(name)}?status=${state}`;
  return html`<tr>
    <th scope="row"><a class="story-link" href=${path('latest')}>${name}</a>${paused ? html` <span class="tag">paused</span>` : null}</th>
    ${STATES.map((state) => html`<td key=${state} class="num ${queue[state] === 0 ? 'nil' : ''} ${state} ${FAR.includes(state) ? 'far' : ''}">${state === 'failed' && queue.failed > 0 ? html`<a href=${path('failed')}>${count(queue.failed)}</a>` : count(queue[state])}</td>`)}
    <td class="act"><${ActionButton} what=${what} label=${paused ? 'Resume' : 'Pause'} /></td>
  </tr>`;
}
