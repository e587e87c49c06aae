import { useEffect, useState } from 'preact/hooks';
import { read, readAgain } from './call.ts';
import { done } from './confirm.ts';
import { html } from './html.ts';
import type { StoryKind } from './route.ts';
import type { Story } from './story.ts';
import { StoryFacts } from './story-facts.ts';
import { StoryLists } from './story-lists.ts';
import { Timeline } from './story-timeline.ts';

const AGAIN_MS = 5_000;

/** The whole story of one user, device, allocation, request or reservation. Looked at again every few seconds. */
export function StoryView({ kind, id }: { readonly kind: StoryKind; readonly id: string }) {
  const [story, setStory] = useState<Story | undefined>(undefined);
  const [problem, setProblem] = useState('');
  const changes = done.value;
  useEffect(() => {
    let gone = false;
    const look = async (ask = readAgain) => {
      try {
        const told = await ask<Story>(`/api/story/${kind}?id=${encodeURIComponent(id)}`);
        if (!gone) setStory(told);
        if (!gone) setProblem('');
      } catch (error) {
        if (!gone) setProblem(error instanceof Error ? error.message : String(error));
      }
    };
    void look(read);
    const timer = setInterval(() => void look(), AGAIN_MS);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [kind, id, changes]);
  return html`<article class="story">
    <p class="back"><a href="#/">← Operations</a></p>
    ${problem === '' ? null : html`<p class="panel-problem" role="alert">${problem}</p>`}
    ${story === undefined ? (problem === '' ? html`<div class="skeleton"></div>` : null) : html`<${StoryFacts} story=${story} /><${Timeline} story=${story} /><${StoryLists} story=${story} />`}
  </article>`;
}
