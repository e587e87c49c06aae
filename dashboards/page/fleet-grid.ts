import type { FleetGroup, FleetLayout } from './wire-data.ts';

/** A stretch of cells with one heading. */
export interface Band {
  readonly label: string;
  readonly from: number;
  readonly count: number;
  /** Top of its first row, px. */
  readonly top: number;
}

/** Where everything is on the map. Sizes in px. */
export interface Grid {
  readonly bands: readonly Band[];
  readonly size: number;
  readonly columns: number;
  readonly height: number;
}

const HEADING = 18;
/** Of a device, and of a node or region, which has its name above it if there is room. */
export const LARGEST = { cells: 18, groups: 120 } as const;
/** What a name takes, and the smallest cell that has one. */
export const NAME = { height: 16, from: 60 } as const;
const SMALLEST = 4;
const BETWEEN = 6;

/** Stretches by region. */
export function bandsOf(layout: FleetLayout): readonly { readonly label: string; readonly from: number; readonly count: number }[] {
  const starts = layout.groups.filter(({ region }, index) => index === 0 || layout.groups[index - 1]?.region !== region);
  return starts.map(({ region, from }, index) => ({
    label: region === '' ? 'no region' : region,
    from,
    count: (starts[index + 1]?.from ?? layout.names.length) - from,
  }));
}

/** One stretch, as the groups of a large fleet come in the order they are shown. */
export function bandsOfGroups(
  groups: readonly FleetGroup[],
): readonly { readonly label: string; readonly from: number; readonly count: number }[] {
  return [{ label: groups.some(({ node }) => node !== '') ? 'by node' : 'by region', from: 0, count: groups.length }];
}

/** The largest cells with which everything fits into the height, if any does. */
export function arrange(
  bands: readonly { readonly label: string; readonly from: number; readonly count: number }[],
  width: number,
  height: number,
  largest: number = LARGEST.cells,
): Grid {
  for (let size = largest; size > SMALLEST; size -= 1) {
    const grid = place(bands, width, size);
    if (grid.height <= height) return grid;
  }
  return place(bands, width, SMALLEST);
}

function place(
  bands: readonly { readonly label: string; readonly from: number; readonly count: number }[],
  width: number,
  size: number,
): Grid {
  const columns = Math.max(1, Math.floor(width / size));
  let top = 0;
  const placed = bands.map((band) => {
    const at = top + HEADING;
    top = at + Math.ceil(band.count / columns) * size + BETWEEN;
    return { ...band, top: at };
  });
  return { bands: placed, size, columns, height: top };
}

/** The cell at a point, if there is one. */
export function cellAt({ bands, size, columns }: Grid, x: number, y: number): number | undefined {
  const band = bands.findLast(({ top }) => y >= top);
  const column = Math.floor(x / size);
  if (band === undefined || column < 0 || column >= columns) return undefined;
  const index = Math.floor((y - band.top) / size) * columns + column;
  return index < band.count ? band.from + index : undefined;
}

/** The corner of a cell. */
export function cornerOf({ bands, size, columns }: Grid, cell: number): { readonly x: number; readonly y: number } {
  const band = bands.findLast(({ from }) => cell >= from);
  const index = cell - (band?.from ?? 0);
  return { x: (index % columns) * size, y: (band?.top ?? 0) + Math.floor(index / columns) * size };
}
