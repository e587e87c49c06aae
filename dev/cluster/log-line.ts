import { z } from 'zod';

/** A line a process wrote. */
export interface LogLine {
  readonly name: string;
  readonly text: string;
  /** pino's number: 30 info, 40 warn, 50 error. Text that is no JSON counts as info. */
  readonly level: number;
}

const HIDDEN = ['level', 'time', 'pid', 'hostname', 'name', 'msg', 'err', 'error', 'reqId'];
const LEVELS: Readonly<Record<number, string>> = { 40: 'WARN ', 50: 'ERROR ', 60: 'FATAL ' };
const COLOURS: Readonly<Record<number, string>> = { 40: '33', 50: '31', 60: '31' };
const LONGEST = 400;

const logged = z.looseObject({
  level: z.number(),
  time: z.string(),
  msg: z.string().default(''),
  err: z.looseObject({ message: z.string() }).optional(),
});

/** Reads what a process wrote: pino's JSON becomes one short sentence, anything else stays as it is. */
export function readLogLine(name: string, line: string): LogLine {
  const parsed = logged.safeParse(line.startsWith('{') ? parse(line) : undefined);
  if (!parsed.success) return { name, text: line, level: 30 };
  const { level, time, msg, err, ...rest } = parsed.data;
  const facts = Object.entries(rest).filter(([key]) => !HIDDEN.includes(key));
  const words = facts.map(([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`);
  const text = [time.slice(11, 19), ' ', LEVELS[level] ?? '', [msg, ...(err ? [err.message] : []), ...words].join('  ')].join('');
  return { name, text: text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text, level };
}

/** The line with the name of its process in front, coloured by severity where a person looks on. */
export function formatLogLine({ name, text, level }: LogLine, width: number, colours: boolean): string {
  const colour = colours ? COLOURS[level] : undefined;
  return `${name.padEnd(width)} │ ${colour === undefined ? text : `\u001b[${colour}m${text}\u001b[0m`}`;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // Begins like JSON and is none: shown as it is.
    return undefined;
  }
}
