import { type Signal, signal } from '@preact/signals';
import { type Session, toLogin } from './call.ts';
import type { PartName, Parts } from './wire-data.ts';

/** What was last heard of each part; nothing before the first word. */
export const parts: { readonly [Name in PartName]: Signal<Parts[Name] | undefined> } = {
  fleet: signal(),
  live: signal(),
  waiting: signal(),
  minutes: signal(),
  history: signal(),
  queues: signal(),
  jobs: signal(),
  health: signal(),
  dead: signal(),
  reservations: signal(),
  strategies: signal(),
  changes: signal(),
};

/** Why a part cannot be read at the moment. */
export const problems = signal<Readonly<Partial<Record<PartName, string>>>>({});

export type Connection = 'connecting' | 'live' | 'lost';
export const connection = signal<Connection>('connecting');

/** Who looks. */
export const session = signal<Session | undefined>(undefined);

/** The server's time, ms since 1970; goes on by the second. */
export const now = signal(Date.now());

const AGAIN_MS = 2_000;
/** The server says something every five seconds. */
const SILENCE_MS = 15_000;

let skew = 0;
let heardAt = 0;
setInterval(() => {
  now.value = Date.now() + skew;
  if (connection.value === 'live' && Date.now() - heardAt > SILENCE_MS) connection.value = 'lost';
}, 1_000);

/** Listens to everything, again and again while the server cannot be reached. */
export function listen(): void {
  const source = new EventSource('/api/live');
  source.addEventListener('hello', ({ data }) => {
    setTime(data);
    problems.value = {};
  });
  source.addEventListener('time', ({ data }) => setTime(data));
  source.addEventListener('goodbye', () => toLogin());
  source.addEventListener('problem', ({ data }) => {
    heard();
    const { part, message } = JSON.parse(data) as { part: PartName; message: string };
    problems.value = { ...problems.value, [part]: message };
  });
  for (const name of Object.keys(parts) as PartName[]) source.addEventListener(name, ({ data }) => take(name, data));
  source.onerror = () => {
    connection.value = 'lost';
    // The browser tries again by itself unless it was refused.
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => void again(), AGAIN_MS);
  };
}

async function again(): Promise<void> {
  try {
    const { status } = await fetch('/api/session');
    if (status === 401) return toLogin();
  } catch {
    // Not reachable yet; the stream is opened again all the same and says so.
  }
  listen();
}

function setTime(data: string): void {
  skew = (JSON.parse(data) as { now: number }).now - Date.now();
  now.value = Date.now() + skew;
  heard();
}

function heard(): void {
  heardAt = Date.now();
  connection.value = 'live';
}

function take<Name extends PartName>(name: Name, data: string): void {
  heard();
  (parts[name] as Signal<unknown>).value = JSON.parse(data) as Parts[Name];
  if (problems.value[name] === undefined) return;
  const { [name]: _, ...rest } = problems.value;
  problems.value = rest;
}
