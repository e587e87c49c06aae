/** Colours and weights of text; without colours every one of them gives the text back as it is. */
export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
}

const styled = (on: number, off: number) => (text: string) => (text === '' ? '' : `\u001b[${on}m${text}\u001b[${off}m`);
const plain = (text: string) => text;

/** @param colours  whether whoever reads can show them */
export function createPaint(colours: boolean): Paint {
  const style = (on: number, off: number) => (colours ? styled(on, off) : plain);
  return {
    bold: style(1, 22),
    dim: style(2, 22),
    red: style(31, 39),
    green: style(32, 39),
    yellow: style(33, 39),
    cyan: style(36, 39),
  };
}

/** The colour of a state: good, on its way, bad, or over. */
const STATES: Readonly<Record<string, 'green' | 'yellow' | 'red' | 'dim'>> = {
  allocated: 'green',
  running: 'green',
  active: 'green',
  fulfilled: 'green',
  executing: 'green',
  confirmed: 'green',
  waiting: 'yellow',
  processing: 'yellow',
  pending: 'yellow',
  paused: 'yellow',
  suspended: 'red',
  failed: 'red',
  deleted: 'red',
  expired: 'dim',
  released: 'dim',
  completed: 'dim',
  cancelled: 'dim',
};

/** A state in its colour. @param text  what is printed of it, if it is not the state itself */
export function paintState(paint: Paint, state: string, text: string = state): string {
  const colour = STATES[state];
  return colour === undefined ? text : paint[colour](text);
}
