import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { act } from './call.ts';
import { html } from './html.ts';
import { session } from './live.ts';

/** Something that is asked about before it is done. */
export interface Intent {
  readonly action: string;
  readonly words: Readonly<Record<string, unknown>>;
  readonly title: string;
  /** What it means. */
  readonly text: string;
  /** On the button. */
  readonly verb: string;
  /** Takes something from somebody. */
  readonly grave?: boolean;
  /** Whether a reason may be given. */
  readonly reason?: boolean;
}

/** What was done or went wrong last. */
export const toast = signal<{ readonly text: string; readonly bad: boolean } | undefined>(undefined);
/** Counts what was done here, for whoever shows something that is not streamed. */
export const done = signal(0);
const intent = signal<Intent | undefined>(undefined);
const busy = signal(false);
const problem = signal('');

const TOAST_MS = 6_000;

/** Asks first. */
export function ask(what: Intent): void {
  problem.value = '';
  intent.value = what;
}

/** A button for who may change things; others do not see it. */
export function ActionButton({ what, label, title }: { readonly what: Intent; readonly label: string; readonly title?: string }) {
  if (session.value?.role !== 'operator') return null;
  return html`<button type="button" class="small" title=${title} onClick=${() => ask(what)}>${label}</button>`;
}

/** The question itself, and what is said after the answer. */
export function Confirm() {
  const dialog = useRef<HTMLDialogElement>(null);
  const what = intent.value;
  useEffect(() => {
    if (what !== undefined) dialog.current?.showModal();
    else dialog.current?.close();
  }, [what]);
  return html`<dialog ref=${dialog} class="confirm" aria-labelledby="confirm-title" onClose=${() => (intent.value = undefined)}>
      ${what === undefined ? null : html`<${Question} what=${what} />`}
    </dialog>
    <div class="toasts" role="status" aria-live="polite">
      ${toast.value === undefined ? null : html`<p class=${toast.value.bad ? 'toast bad' : 'toast'}>${toast.value.text}</p>`}
    </div>`;
}

function Question({ what }: { readonly what: Intent }) {
  const reason = useRef<HTMLInputElement>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    void carryOut(what, reason.current?.value ?? '');
  };
  return html`<form method="dialog" onSubmit=${submit}>
    <h2 id="confirm-title">${what.title}</h2>
    <p>${what.text}</p>
    ${what.reason ? html`<label>Reason, for the record<input ref=${reason} maxlength="500" placeholder="optional" /></label>` : null}
    ${problem.value === '' ? null : html`<p class="problem" role="alert">${problem.value}</p>`}
    <div class="buttons">
      <button type="button" class="quiet" onClick=${() => (intent.value = undefined)}>Cancel</button>
      <button type="submit" class=${what.grave ? 'primary grave' : 'primary'} disabled=${busy.value} autofocus>${busy.value ? 'Working …' : what.verb}</button>
    </div>
  </form>`;
}

async function carryOut({ action, words, reason }: Intent, said: string): Promise<void> {
  if (session.value === undefined || busy.value) return;
  busy.value = true;
  try {
    const text = await act(action, reason && said !== '' ? { ...words, reason: said } : words, session.value);
    intent.value = undefined;
    done.value += 1;
    say(text);
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
  } finally {
    busy.value = false;
  }
}

function say(text: string): void {
  const said = { text, bad: false };
  toast.value = said;
  setTimeout(() => {
    if (toast.value === said) toast.value = undefined;
  }, TOAST_MS);
}
