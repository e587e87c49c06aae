import { ACTIONS } from '../../dashboards/actions/actions.ts';

const ID = '00000000-0000-4000-8000-000000000001';
const WORDS: Readonly<Record<string, object>> = {
  release: { allocationId: ID },
  drain: { deviceId: ID },
  activate: { deviceId: ID },
  'retry-dead-letter': { id: ID },
  'retry-dead-letters': {},
  'switch-strategy': { id: ID },
};

/** Every action of the dashboard with words it would take. */
export const EVERY_ACTION: readonly (readonly [action: string, words: object])[] = Object.keys(ACTIONS).map((action) => [
  action,
  WORDS[action] ?? { name: action.endsWith('job') ? 'stats' : 'notice' },
]);
