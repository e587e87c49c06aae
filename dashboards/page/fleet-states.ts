import { signal } from '@preact/signals';
import type { FleetState } from './wire-data.ts';

/** In the order they are shown. */
export const STATES: readonly FleetState[] = ['held', 'free', 'cleaning', 'draining', 'maintenance', 'error', 'off'];

const LETTERS: Readonly<Record<string, FleetState>> = {
  f: 'free',
  h: 'held',
  d: 'draining',
  c: 'cleaning',
  o: 'off',
  m: 'maintenance',
  e: 'error',
};

/** The state of a cell by its letter. */
export const stateOf = (letter: string | undefined): FleetState => LETTERS[letter ?? ''] ?? 'off';

/** The state that is looked for; the others are dimmed. */
export const sought = signal<FleetState | undefined>(undefined);
