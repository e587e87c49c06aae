import { useEffect, useRef } from 'preact/hooks';
import UPlot from 'uplot';
import { html } from './html.ts';
import { colourOf, colours } from './theme.ts';

/** A line: its name, its class (which has its colour), and how its values are written. */
export interface Line {
  readonly label: string;
  readonly ink: string;
  readonly dash?: readonly number[];
  readonly values: readonly (number | null)[];
}

interface LineChartProps {
  /** Times, s since 1970. */
  readonly at: readonly number[];
  readonly lines: readonly Line[];
  readonly write: (value: number) => string;
  readonly label: string;
}

const HEIGHT = 170;

/** Lines over time; what is under the pointer is said in the legend. */
export function LineChart({ at, lines, write, label }: LineChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | undefined>(undefined);
  const tick = colours.value;
  useEffect(() => {
    if (box.current === null) return;
    const made = new UPlot(optionsOf(box.current.clientWidth, lines, write), dataOf(at, lines), box.current);
    plot.current = made;
    const watch = new ResizeObserver(([entry]) => made.setSize({ width: Math.floor(entry?.contentRect.width ?? 0), height: HEIGHT }));
    watch.observe(box.current);
    return () => {
      watch.disconnect();
      made.destroy();
    };
  }, [tick, label, lines.map((line) => line.label).join()]);
  useEffect(() => plot.current?.setData(dataOf(at, lines)), [at, lines]);
  return html`<div class="chart" role="img" aria-label=${describe(label, lines, write)}>
    <div ref=${box}></div>
    <ul class="legend">${lines.map((line) => html`<li key=${line.label}><i class="stroke ${line.ink} ${line.dash ? 'dashed' : ''}" aria-hidden="true"></i>${line.label}<b>${last(line, write)}</b></li>`)}</ul>
  </div>`;
}

const last = ({ values }: Line, write: (value: number) => string): string => {
  const value = values.findLast((each) => each !== null);
  return value == null ? '–' : write(value);
};

function describe(label: string, lines: readonly Line[], write: (value: number) => string): string {
  return `${label}. ${lines.map((line) => `${line.label} now ${last(line, write)}`).join(', ')}`;
}

function dataOf(at: readonly number[], lines: readonly Line[]): UPlot.AlignedData {
  return [[...at], ...lines.map(({ values }) => [...values])];
}

function optionsOf(width: number, lines: readonly Line[], write: (value: number) => string): UPlot.Options {
  const axis = {
    stroke: colourOf('ink-muted'),
    grid: { stroke: colourOf('ink-line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.08)] } },
    axes: [
      { ...axis, size: 26, values: '{HH}:{mm}', space: 64 },
      { ...axis, size: 52, space: 32, values: (_plot, splits) => splits.map((value) => write(value)) },
    ],
    series: [
      {},
      ...lines.map(({ label, ink, dash }) => ({
        label,
        stroke: colourOf(ink),
        width: 1.75,
        points: { show: false },
        ...(dash === undefined ? {} : { dash: [...dash] }),
      })),
    ],
  };
}
