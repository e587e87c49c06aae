import { signal } from '@preact/signals';

const CHOICES = ['auto', 'light', 'dark'] as const;
type Theme = (typeof CHOICES)[number];
const KEY = 'theme';

const stored = localStorage.getItem(KEY);
/** As the system has it, unless somebody chose. */
export const theme = signal<Theme>(CHOICES.find((choice) => choice === stored) ?? 'auto');
/** Counts changes of the colours, for what is drawn and not styled. */
export const colours = signal(0);

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => (colours.value += 1));
apply();

/** The next choice. */
export function turnTheme(): void {
  theme.value = CHOICES[(CHOICES.indexOf(theme.value) + 1) % CHOICES.length] ?? 'auto';
  localStorage.setItem(KEY, theme.value);
  apply();
}

function apply(): void {
  document.documentElement.dataset['theme'] = theme.value;
  colours.value += 1;
}

/** The colour a class has now, as the canvas wants it. */
export function colourOf(className: string): string {
  const probe = document.createElement('i');
  probe.className = className;
  probe.hidden = true;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
