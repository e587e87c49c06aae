import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { read } from './call.ts';
import { html } from './html.ts';
import { type StoryKind, storyPath } from './route.ts';

interface Found {
  readonly kind: StoryKind;
  readonly id: string;
  readonly label: string;
}

const WAIT_MS = 180;
const found = signal<readonly Found[] | undefined>(undefined);
const chosen = signal(0);
const problem = signal('');
const typed = signal('');
let timer = 0;
let asked = '';

/** Finds users, devices, allocations, requests and reservations; `/` goes to it, arrows choose, Enter opens. */
export function SearchBox() {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const jump = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.matches('input, textarea, select');
      if (event.key !== '/' || typing || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener('keydown', jump);
    return () => removeEventListener('keydown', jump);
  }, []);
  const items = found.value;
  const isOpen = items !== undefined || problem.value !== '';
  return html`<search class="search">
    <input ref=${field} type="search" value=${typed.value} placeholder="User, device, allocation …  /" aria-label="Search users, devices, allocations, requests, reservations"
      role="combobox" aria-expanded=${isOpen} aria-controls="found" aria-activedescendant=${items?.length ? `found-${chosen.value}` : undefined}
      autocomplete="off" spellcheck=${false} maxlength="200" onInput=${onInput} onKeyDown=${onKey} onBlur=${() => setTimeout(close, 150)} />
    ${
      isOpen
        ? html`<ul id="found" role="listbox" class="found">
            ${problem.value === '' ? null : html`<li class="none">${problem.value}</li>`}
            ${items?.length === 0 ? html`<li class="none">Nothing found. Ids and users are searched whole, devices by the beginning of their name.</li>` : null}
            ${(items ?? []).map((item, index) => html`<${Item} key=${item.kind + item.id} item=${item} index=${index} />`)}
          </ul>`
        : null
    }
  </search>`;
}

function Item({ item, index }: { readonly item: Found; readonly index: number }) {
  return html`<li id="found-${index}" role="option" aria-selected=${index === chosen.value} onMouseDown=${() => open(item)}>
    <span class="kind">${item.kind}</span><span class="label">${item.label}</span>${item.label === item.id ? null : html`<code>${item.id.slice(0, 8)}</code>`}
  </li>`;
}

function onInput(event: Event): void {
  clearTimeout(timer);
  typed.value = (event.target as HTMLInputElement).value;
  asked = typed.value.trim();
  if (asked === '') close();
  else timer = window.setTimeout(() => void search(asked), WAIT_MS);
}

function onKey(event: KeyboardEvent): void {
  const items = found.value ?? [];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === 'Escape') close();
  else if (event.key === 'Enter') {
    const item = items[chosen.value];
    if (item !== undefined) open(item);
  } else if (step !== undefined && items.length > 0) {
    event.preventDefault();
    chosen.value = (chosen.value + step + items.length) % items.length;
  }
}

async function search(words: string): Promise<void> {
  try {
    const { items } = await read<{ items: readonly Found[] }>(`/api/search?q=${encodeURIComponent(words)}`);
    if (words !== asked) return;
    problem.value = '';
    chosen.value = 0;
    found.value = items;
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
  }
}

function open({ kind, id }: Found): void {
  close();
  typed.value = '';
  location.hash = storyPath(kind, id);
}

function close(): void {
  found.value = undefined;
  problem.value = '';
}
