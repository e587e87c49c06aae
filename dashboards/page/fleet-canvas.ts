import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { read } from './call.ts';
import { drawFleet } from './draw-fleet.ts';
import { arrange, bandsOf, bandsOfGroups, cellAt, type Grid, LARGEST } from './fleet-grid.ts';
import { STATES, sought, stateOf } from './fleet-states.ts';
import { html } from './html.ts';
import { parts } from './live.ts';
import { storyPath } from './route.ts';
import { colours } from './theme.ts';
import type { FleetLayout, FleetNow } from './wire-data.ts';

/** Height the map takes at most before its cells become too small to see, px. */
const HEIGHT = 400;

const layout = signal<FleetLayout | undefined>(undefined);
const pointed = signal<number | undefined>(undefined);
const width = signal(0);
const problem = signal('');
let loading = '';

/** The map: a cell a device, or a cell a node of a large fleet. Arrows move over it, Enter opens what is pointed at. */
export function FleetCanvas() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const fleet = parts.fleet.value;
  useEffect(() => {
    if (box.current === null) return;
    const watch = new ResizeObserver(([entry]) => (width.value = Math.floor(entry?.contentRect.width ?? 0)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  if (fleet?.mode === 'cells' && layout.value?.id !== fleet.layout && loading !== fleet.layout) void load(fleet.layout);
  const grid = fleet === undefined ? undefined : gridOf(fleet);
  const tick = colours.value;
  useEffect(() => {
    if (canvas.current !== null && fleet !== undefined && grid !== undefined)
      drawFleet(canvas.current, { fleet, grid, width: width.value, pointed: pointed.value, sought: sought.value });
  }, [fleet, grid?.height, width.value, pointed.value, sought.value, layout.value, tick]);
  const move = (event: PointerEvent) => {
    const { left, top } = (event.currentTarget as HTMLElement).getBoundingClientRect();
    pointed.value = grid && cellAt(grid, event.clientX - left, event.clientY - top);
  };
  return html`<div ref=${box} class="map">
    <canvas ref=${canvas} tabindex="0" role="img" aria-label="Map of the fleet. Arrow keys move, Enter opens a device." aria-describedby="pointed"
      onPointerMove=${move} onPointerLeave=${() => (pointed.value = undefined)} onClick=${() => void open()}
      onKeyDown=${(event: KeyboardEvent) => onKey(event, grid)}></canvas>
    <p id="pointed" class="pointed" aria-live="polite">${problem.value === '' ? (fleet && describe(fleet)) || hint(fleet) : problem.value}</p>
  </div>`;
}

const hint = (fleet: FleetNow | undefined): string =>
  fleet?.mode === 'groups'
    ? 'Each cell is a node or region with its shares; point at one for its numbers.'
    : 'Point at a cell to see what it is; click to open it.';

function gridOf(fleet: FleetNow): Grid | undefined {
  if (width.value === 0) return undefined;
  if (fleet.mode === 'groups') return arrange(bandsOfGroups(fleet.groups), width.value, HEIGHT, LARGEST.groups);
  return layout.value?.id === fleet.layout ? arrange(bandsOf(layout.value), width.value, HEIGHT) : undefined;
}

async function load(id: string): Promise<void> {
  loading = id;
  try {
    layout.value = await read<FleetLayout>('/api/fleet/layout');
    problem.value = '';
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
  } finally {
    loading = '';
  }
}

function describe(fleet: FleetNow): string {
  const cell = pointed.value;
  if (cell === undefined) return '';
  if (fleet.mode === 'groups') {
    const group = fleet.groups[cell];
    if (group === undefined) return '';
    const states = STATES.filter((state) => group[state] > 0);
    return `${group.region || 'no region'}${group.node === '' ? '' : ` · ${group.node}`}: ${states.map((state) => `${group[state]} ${state}`).join(', ')}`;
  }
  const group = layout.value?.groups.findLast(({ from }) => from <= cell);
  const where = [group?.region, group?.node].filter(Boolean).join(' · ');
  return `${layout.value?.names[cell] ?? ''}${where === '' ? '' : ` · ${where}`}: ${stateOf(fleet.cells[cell])}`;
}

async function open(): Promise<void> {
  const fleet = parts.fleet.value;
  if (pointed.value === undefined || fleet?.mode !== 'cells') return;
  try {
    const { id } = await read<{ id: string }>(`/api/fleet/device?layout=${fleet.layout}&index=${pointed.value}`);
    location.hash = storyPath('device', id);
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
  }
}

function onKey(event: KeyboardEvent, grid: Grid | undefined): void {
  if (grid === undefined) return;
  if (event.key === 'Enter') return void open();
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: grid.columns, ArrowUp: -grid.columns }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const last = grid.bands.reduce((sum, band) => sum + band.count, 0) - 1;
  pointed.value = Math.min(last, Math.max(0, (pointed.value ?? -step) + step));
}
