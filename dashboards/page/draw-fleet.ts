import { cornerOf, type Grid, NAME } from './fleet-grid.ts';
import { STATES, stateOf } from './fleet-states.ts';
import { colourOf } from './theme.ts';
import type { FleetNow, FleetState } from './wire-data.ts';

/** How much is left of what is not looked for. */
const DIM = 0.14;

interface Drawing {
  readonly fleet: FleetNow;
  readonly grid: Grid;
  readonly width: number;
  readonly pointed: number | undefined;
  readonly sought: FleetState | undefined;
}

/** Draws the whole map anew: ten thousand cells take some milliseconds. */
export function drawFleet(canvas: HTMLCanvasElement, { fleet, grid, width, pointed, sought }: Drawing): void {
  const scale = devicePixelRatio;
  canvas.width = width * scale;
  canvas.height = grid.height * scale;
  canvas.style.height = `${grid.height}px`;
  const pen = canvas.getContext('2d');
  if (pen === null) return;
  pen.scale(scale, scale);
  heading(pen, grid);
  const colour = Object.fromEntries(STATES.map((state) => [state, colourOf(`ink-${state}`)])) as Record<FleetState, string>;
  const gap = grid.size > 6 ? 2 : 1;
  const top = fleet.mode === 'groups' && grid.size >= NAME.from ? NAME.height : 0;
  const side = grid.size - gap;
  for (const band of grid.bands) {
    for (let cell = band.from; cell < band.from + band.count; cell += 1) {
      const { x, y } = cornerOf(grid, cell);
      for (const { state, from, share } of sharesOf(fleet, cell)) {
        pen.globalAlpha = sought === undefined || sought === state ? 1 : DIM;
        pen.fillStyle = colour[state];
        pen.fillRect(x, y + top + from * (side - top), side, share * (side - top));
      }
    }
  }
  pen.globalAlpha = 1;
  if (top > 0) names(pen, fleet, grid);
  if (pointed !== undefined) outline(pen, grid, pointed);
}

function heading(pen: CanvasRenderingContext2D, grid: Grid): void {
  pen.fillStyle = colourOf('ink-muted');
  pen.font = '11px system-ui, sans-serif';
  pen.textBaseline = 'alphabetic';
  for (const { label, top, count } of grid.bands) pen.fillText(`${label}  ${count.toLocaleString('en')}`, 0, top - 5);
}

function names(pen: CanvasRenderingContext2D, fleet: FleetNow, grid: Grid): void {
  if (fleet.mode !== 'groups') return;
  pen.fillStyle = colourOf('ink-text');
  for (const [cell, { region, node }] of fleet.groups.entries()) {
    const { x, y } = cornerOf(grid, cell);
    pen.fillText(node === '' ? region || 'no region' : node, x, y + NAME.height - 5, grid.size - 6);
  }
}

/** A device is one colour; a node shows how many of its devices stand how. */
function sharesOf(fleet: FleetNow, cell: number): readonly { readonly state: FleetState; readonly from: number; readonly share: number }[] {
  if (fleet.mode === 'cells') return [{ state: stateOf(fleet.cells[cell]), from: 0, share: 1 }];
  const group = fleet.groups[cell];
  if (group === undefined) return [];
  const all = STATES.reduce((sum, state) => sum + group[state], 0);
  let from = 0;
  return STATES.map((state) => {
    const share = group[state] / all;
    from += share;
    return { state, from: from - share, share };
  });
}

function outline(pen: CanvasRenderingContext2D, grid: Grid, cell: number): void {
  const { x, y } = cornerOf(grid, cell);
  pen.strokeStyle = colourOf('ink-text');
  pen.lineWidth = 2;
  pen.strokeRect(x - 0.5, y - 0.5, grid.size, grid.size);
}
