import type { EndReason } from '../allocation/end-reason.ts';
import { END_REASON_WORDS, type Language, OTHER_REFUSAL, REFUSAL_WORDS, type Said } from './words.ts';

/** In which language and time zone (IANA) a text is told. */
interface Telling {
  readonly language: Language;
  readonly timeZone: string;
}

const LOCALES: Readonly<Record<Language, string>> = { zh: 'zh-CN', en: 'en-GB' };

/** How the value of a placeholder is said. */
const WAYS: Readonly<Record<string, (value: unknown, telling: Telling) => string>> = {
  time: (value, { language, timeZone }) =>
    new Intl.DateTimeFormat(LOCALES[language], {
      timeZone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
      timeZoneName: 'short',
    }).format(new Date(String(value))),
  span: (value, { language }) => spanOf(Number(value))[language],
  ended: (value, { language }) => END_REASON_WORDS[value as EndReason][language],
  refused: (value, { language }) => (REFUSAL_WORDS[String(value)] ?? OTHER_REFUSAL)[language],
};

const PLACEHOLDER = /\{(\w+)(?::(\w+))?\}/g;

/** The placeholders of a text: the field each takes its value from and how it is said. */
export function placeholdersOf(text: string): readonly { readonly field: string; readonly way: string | undefined }[] {
  return [...text.matchAll(PLACEHOLDER)].map(([, field = '', way]) => ({ field, way }));
}

/**
 * A text of the catalogue with its placeholders filled.
 *
 * @throws Error for a field that is not there, or a way nobody knows
 */
export function tell(text: string, data: Readonly<Record<string, unknown>>, telling: Telling): string {
  return text.replace(PLACEHOLDER, (placeholder, field: string, way?: string) => {
    const value = data[field];
    const say = way === undefined ? String : WAYS[way];
    if (value === undefined || value === null || say === undefined) throw new Error(`nothing to say for ${placeholder}`);
    return say(value, telling);
  });
}

/** Seconds in hours and minutes; below a minute in seconds. */
function spanOf(seconds: number): Said {
  if (seconds < 60) return { zh: `${seconds} 秒`, en: `${seconds} s` };
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor((seconds % 3_600) / 60);
  const zh = [hours > 0 ? `${hours} 小时` : '', minutes > 0 ? `${minutes} 分钟` : ''].filter((part) => part !== '').join(' ');
  const en = [hours > 0 ? `${hours} h` : '', minutes > 0 ? `${minutes} min` : ''].filter((part) => part !== '').join(' ');
  return { zh, en };
}
