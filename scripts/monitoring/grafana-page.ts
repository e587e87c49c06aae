import type { ReferencePage } from '../reference-pages.ts';
import { type Panel, ROWS } from './panels.ts';

const WHOLE = 24;
const SIZE = { stat: { w: 4, h: 4 }, timeseries: { w: 8, h: 7 } } as const;
const SOURCE = { type: 'prometheus', uid: '$datasource' };

/** The dashboard for Grafana, to be imported or provisioned. */
export function grafanaPage(): ReferencePage {
  const dashboard = {
    uid: 'cloudphone-scheduler',
    title: 'cloudphone-scheduler',
    tags: ['cloudphone-scheduler'],
    timezone: 'browser',
    editable: true,
    schemaVersion: 39,
    refresh: '15s',
    time: { from: 'now-1h', to: 'now' },
    templating: { list: [{ name: 'datasource', type: 'datasource', query: 'prometheus', label: 'Prometheus' }] },
    panels: layOut(),
  };
  return { path: 'dashboards/grafana/scheduler.json', text: `${JSON.stringify(dashboard, undefined, 2)}\n` };
}

/** Panels side by side, a new line where one is full, a heading for each row. */
function layOut(): object[] {
  const placed: object[] = [];
  let y = 0;
  for (const { title, panels } of ROWS) {
    placed.push({ id: placed.length + 1, type: 'row', title, collapsed: false, gridPos: { x: 0, y, w: WHOLE, h: 1 }, panels: [] });
    y += 1;
    let [x, tallest] = [0, 0];
    for (const panel of panels) {
      const { w, h } = SIZE[panel.kind];
      if (x + w > WHOLE) [x, y, tallest] = [0, y + tallest, 0];
      placed.push(toPanel(panel, placed.length + 1, { x, y, w, h }));
      [x, tallest] = [x + w, Math.max(tallest, h)];
    }
    y += tallest;
  }
  return placed;
}

function toPanel({ title, about, unit, kind, lines }: Panel, id: number, gridPos: object): object {
  const defaults = { unit, min: 0, ...(kind === 'timeseries' && { custom: { fillOpacity: 8, lineWidth: 1, showPoints: 'never' } }) };
  return {
    id,
    type: kind,
    title,
    description: about,
    datasource: SOURCE,
    gridPos,
    fieldConfig: { defaults, overrides: [] },
    options:
      kind === 'stat'
        ? { colorMode: 'none', graphMode: 'area', reduceOptions: { calcs: ['lastNotNull'] } }
        : { tooltip: { mode: 'multi' } },
    targets: lines.map(({ expr, legend }, index) => ({
      refId: String.fromCharCode(65 + index),
      datasource: SOURCE,
      expr,
      legendFormat: legend,
    })),
  };
}
