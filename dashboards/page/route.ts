import { signal } from '@preact/signals';

export type StoryKind = 'user' | 'device' | 'allocation' | 'request' | 'reservation';
const KINDS: readonly string[] = ['user', 'device', 'allocation', 'request', 'reservation'];

/** The story that is told, if any; the address says it, so that it can be sent to somebody. */
export const route = signal(read());
addEventListener('hashchange', () => (route.value = read()));

/** The address of a story. */
export const storyPath = (kind: StoryKind, id: string): string => `#/${kind}/${encodeURIComponent(id)}`;

function read(): { readonly kind: StoryKind; readonly id: string } | undefined {
  const [, kind = '', id = ''] = /^#\/(\w+)\/(.+)$/.exec(location.hash) ?? [];
  return KINDS.includes(kind) ? { kind: kind as StoryKind, id: decodeURIComponent(id) } : undefined;
}
