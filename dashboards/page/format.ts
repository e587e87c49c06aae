const number = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hour12: false });
const clockSeconds = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const dayClock = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hour12: false });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', hour12: false });

const DAY_MS = 86_400_000;
/** Numbers from here on are written short. */
const LARGE = 1_000_000;

/** 12,345, or 1.2M. */
export const count = (value: number): string => (value >= LARGE ? compact.format(value) : number.format(value));

/** 94.2 % */
export const percent = (part: number, all: number): string => (all === 0 ? '–' : `${((100 * part) / all).toFixed(part === all ? 0 : 1)} %`);

/** A time of day; with the day when it is another one. */
export function time(at: string | number, now: number): string {
  const date = new Date(at);
  return Math.abs(date.getTime() - now) < DAY_MS / 2 ? clock.format(date) : dayClock.format(date);
}

/** With seconds. */
export const timeExact = (at: string | number): string => clockSeconds.format(new Date(at));
/** With the date, for titles. */
export const moment = (at: string | number): string => whole.format(new Date(at));

/** How long, in at most two units. @param ms in ms */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 10 && ms % 1_000 >= 50) return `${(ms / 1_000).toFixed(1)} s`;
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return two(seconds, 60, 'min', 's');
  if (seconds < 86_400) return two(Math.floor(seconds / 60), 60, 'h', 'min');
  return two(Math.floor(seconds / 3_600), 24, 'd', 'h');
}

function two(value: number, base: number, large: string, small: string): string {
  const rest = value % base;
  return rest === 0 ? `${Math.floor(value / base)} ${large}` : `${Math.floor(value / base)} ${large} ${rest} ${small}`;
}

/** How long in one unit, for what is compared at a glance. @param ms in ms */
export function age(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return `${Math.max(0, Math.floor(ms / 1_000))} s`;
  if (minutes < 60) return `${minutes} min`;
  return minutes < 2_880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1_440)} d`;
}

/** "in 4 min", "2 s ago" */
export function relative(at: string | number, now: number): string {
  const ms = new Date(at).getTime() - now;
  if (Math.abs(ms) < 1_000) return 'now';
  return ms > 0 ? `in ${age(ms)}` : `${age(-ms)} ago`;
}

/** The beginning of an id. */
export const short = (id: string): string => (id.length > 13 ? `${id.slice(0, 8)}…` : id);
