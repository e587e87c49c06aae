import { BOARD_PATH } from '../board.ts';
import type { QueueSummary } from '../summary.ts';
import { type Html, html, page } from './html.ts';

const COLUMNS = ['waiting', 'active', 'delayed', 'failed', 'completed'] as const;

/** What is in the queues now, kept up to date by `/assets/home.js`, and the way to Bull Board. */
export function homePage(username: string, queues: readonly QueueSummary[]): string {
  return page(
    'Overview · Cloud-phone scheduler',
    html`<header class="bar">
<strong><span class="mark" aria-hidden="true"></span>Cloud-phone scheduler</strong>
<span class="who">${username}</span>
<form method="post" action="/logout"><button class="quiet" type="submit">Log out</button></form>
</header>
<main>
<h2>Queues <small id="state" class="muted" role="status">live</small></h2>
<div class="queues" id="queues">${queues.map(queueCard)}</div>
<p><a class="button" href="${BOARD_PATH}">Open Bull Board</a> <span class="muted">every job: look, retry, promote, remove</span></p>
</main>`,
    '/assets/home.js',
  );
}

function queueCard(queue: QueueSummary): Html {
  const path = `${BOARD_PATH}/queue/${encodeURIComponent(queue.name)}`;
  return html`<a class="card queue" href="${path}" data-queue="${queue.name}">
<h3>${queue.name} <span class="tag" data-field="paused" ${queue.paused ? '' : 'hidden'}>paused</span></h3>
<dl>${COLUMNS.map((column) => html`<div class="${column}"><dt>${column}</dt><dd data-field="${column}" class="${queue[column] === 0 ? 'none' : ''}">${queue[column]}</dd></div>`)}</dl>
</a>`;
}
