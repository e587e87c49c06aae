import { ActionButton } from './confirm.ts';
import { count, moment, relative, short } from './format.ts';
import { html } from './html.ts';
import { now, parts } from './live.ts';
import { Empty, Panel } from './panel.ts';
import { StoryLink } from './story-link.ts';
import type { DeadLetter } from './wire-data.ts';

/** What is not tried again until somebody says so. */
export function DeadPanel() {
  const dead = parts.dead.value;
  const total = dead?.total ?? 0;
  const all = {
    action: 'retry-dead-letters',
    words: {},
    title: `Try all ${count(total)} again?`,
    text: 'Each gets all its attempts once more, the oldest first, a thousand at most.',
    verb: 'Try again',
  };
  return html`<${Panel} title="Dead letters" id="dead" part="dead" aside=${total > 0 ? html`${count(total)} <${ActionButton} what=${all} label="Retry all" />` : ''}>
    ${
      total === 0
        ? html`<${Empty}>None. Bills, reports of use, notices and events are all on their way.<//>`
        : html`<div class="scroll"><table>
      <thead><tr><th>Kind</th><th>About</th><th class="far">Last error</th><th class="num far" title="Attempts">Tries</th><th class="num">Since</th><th><span class="hidden">Action</span></th></tr></thead>
      <tbody>${(dead?.items ?? []).map((letter) => html`<${Row} key=${letter.id} letter=${letter} />`)}</tbody></table></div>`
    }
  <//>`;
}

function Row({ letter }: { readonly letter: DeadLetter }) {
  const { id, kind, allocationId, userId, attempts, lastError, reason, createdAt } = letter;
  const retry = {
    action: 'retry-dead-letter',
    words: { id },
    title: 'Try it again?',
    text: `This ${kind} dead letter gets all its attempts once more.`,
    verb: 'Try again',
  };
  return html`<tr>
    <th scope="row">${kind}</th>
    <td>${allocationId === null ? reason : html`<${StoryLink} kind="allocation" id=${allocationId} label=${short(allocationId)} />`}
      ${userId === null ? null : html` <${StoryLink} kind="user" id=${userId} label=${userId} />`} <small class="muted">${allocationId === null ? '' : reason}</small></td>
    <td class="cut wide far" title=${lastError ?? ''}>${lastError ?? '–'}</td><td class="num far">${attempts}</td>
    <td class="num" title=${moment(createdAt)}>${relative(createdAt, now.value)}</td>
    <td class="act"><${ActionButton} what=${retry} label="Retry" /></td>
  </tr>`;
}
