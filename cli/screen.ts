import type { CliEnvironment } from './cli-environment.ts';
import { createPaint, type Paint } from './paint.ts';
import { clockWords, distanceWords } from './time-words.ts';

/** Where text for people goes: how wide it is, whether it shows colours, and what its clock says. */
export interface Screen {
  readonly width: number;
  readonly paint: Paint;
  /** An instant for a table: `17:02 UTC, in 12 min`. @param now  the clock of the API */
  moment(iso: string | null | undefined, now: Date): string;
}

/** What is needed of `process.stdout`. */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const USUAL_WIDTH = 80;
const NARROWEST = 40;

/** @param terminal  what is printed on; colours are for terminals only, unless FORCE_COLOR says otherwise */
export function createScreen(terminal: Terminal, environment: CliEnvironment): Screen {
  const colours = !environment.noColour && (environment.forceColour || terminal.isTTY === true);
  return {
    width: Math.max(NARROWEST, terminal.columns ?? environment.columns ?? USUAL_WIDTH),
    paint: createPaint(colours),
    moment: (iso, now) => {
      if (iso == null) return '';
      const at = new Date(iso);
      return `${clockWords(at, now, environment.timeZone)}, ${distanceWords(at, now)}`;
    },
  };
}
