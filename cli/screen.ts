import type { CliEnvironment } from './cli-environment.ts';
import { createPaint, type Paint } from './paint.ts';
import { clockWords, distanceWords } from './time-words.ts';

/** Where text for people goes: how wide it is, whether it shows colours, and what its clock says. */
export interface Screen {
  readonly width: number;
  readonly paint: Paint;
  /** An instant by the local clock: `17:02 UTC`. Nothing for none. @param now  the clock of the API, as below */
  clock(iso: string | null | undefined, now: Date): string;
  /** How far it is away: `in 12 min`. */
  distance(iso: string | null | undefined, now: Date): string;
  /** Both: `17:02 UTC, in 12 min`. */
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
  const clock: Screen['clock'] = (iso, now) => (iso == null ? '' : clockWords(new Date(iso), now, environment.timeZone));
  const distance: Screen['distance'] = (iso, now) => (iso == null ? '' : distanceWords(new Date(iso), now));
  return {
    width: Math.max(NARROWEST, terminal.columns ?? environment.columns ?? USUAL_WIDTH),
    paint: createPaint(colours),
    clock,
    distance,
    moment: (iso, now) => (iso == null ? '' : `${clock(iso, now)}, ${distance(iso, now)}`),
  };
}
