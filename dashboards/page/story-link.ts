import { html } from './html.ts';
import { type StoryKind, storyPath } from './route.ts';

/** A name that leads to its story. */
export function StoryLink({ kind, id, label }: { readonly kind: StoryKind; readonly id: string; readonly label: string }) {
  return html`<a class="story-link" href=${storyPath(kind, id)} title=${`${kind} ${id}`}>${label}</a>`;
}
