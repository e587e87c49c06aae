/** One thing that has to hold, and the figures that show whether it does. */
export interface Finding {
  readonly name: string;
  readonly ok: boolean;
  readonly seen: string;
}

/** What is compared, and what each side says of it. */
export type Compared = readonly [what: string, ...sides: readonly [number, number, ...number[]]];

/** Holds when all sides say the same of everything. What has to be none, and is none, is told without a comparison. */
export function agree(name: string, all: readonly Compared[]): Finding {
  return {
    name,
    ok: all.every(([, first, ...others]) => others.every((other) => other === first)),
    seen: all.map(([what, ...sides]) => `${what} ${sides.every((side) => side === 0) ? 0 : sides.map(inWords).join(' = ')}`).join(', '),
  };
}

const inWords = (side: number) => side.toLocaleString('en');
