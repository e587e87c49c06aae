import { moment, relative, short } from './format.ts';
import { html } from './html.ts';
import { now, parts } from './live.ts';
import { Empty, Panel } from './panel.ts';

/** Who changed what lately, here or in Bull Board. */
export function ChangesPanel() {
  const changes = parts.changes.value ?? [];
  return html`<${Panel} title="Changes by people" id="changes" part="changes">
    ${
      changes.length === 0
        ? html`<${Empty}>Nobody has changed anything yet.<//>`
        : html`<ul class="rows changes">${changes.map(
            ({ id, at, actor, action, target, status }) => html`<li key=${id}>
        <span class="cut"><b>${actor}</b> ${action} <span class="muted" title=${target}>${short(target)}</span></span>
        ${status !== null && status >= 400 ? html`<span class="tag bad">${status}</span>` : null}
        <time class="muted" title=${moment(at)}>${relative(at, now.value)}</time>
      </li>`,
          )}</ul>`
    }
  <//>`;
}
