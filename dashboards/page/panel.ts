import type { ComponentChildren } from 'preact';
import { html } from './html.ts';
import { parts, problems } from './live.ts';
import type { PartName } from './wire-data.ts';

interface PanelProps {
  readonly title: string;
  /** Anchor of the page. */
  readonly id: string;
  /** The part it shows: it says when that cannot be read. */
  readonly part: PartName;
  readonly aside?: ComponentChildren;
  readonly children?: ComponentChildren;
}

/** A part of the page with its heading, and what is to be known when its numbers are old or not there yet. */
export function Panel({ title, id, part, aside, children }: PanelProps) {
  const problem = problems.value[part];
  const known = parts[part].value !== undefined;
  return html`<section class="panel panel-${id}" id=${id} aria-labelledby="${id}-title">
    <header class="panel-head"><h2 id="${id}-title">${title}</h2>${aside ? html`<div class="panel-aside">${aside}</div>` : null}</header>
    ${problem === undefined ? null : html`<p class="panel-problem" role="status">Not up to date: ${problem}</p>`}
    <div class="panel-body">${known ? children : html`<div class="skeleton" aria-hidden="true"></div>`}</div>
  </section>`;
}

/** What is said instead of an empty list. */
export function Empty({ children }: { readonly children?: ComponentChildren }) {
  return html`<p class="empty">${children}</p>`;
}
