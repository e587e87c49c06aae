import { signal } from '@preact/signals';
import { count, duration } from './format.ts';
import { html } from './html.ts';
import { LineChart } from './line-chart.ts';
import { parts } from './live.ts';
import { Empty, Panel } from './panel.ts';

const SPANS = { hour: '1 h', day: '24 h', week: '7 d' } as const;
type Span = keyof typeof SPANS;
const HOURS = { day: 24, week: 168 } as const;
const span = signal<Span>('hour');

/** What the charts are drawn from, one row a minute or an hour. Rates are per minute, waits in ms. */
interface Row {
  readonly at: number;
  readonly granted: number;
  readonly refused: number;
  readonly expired: number;
  readonly p50: number | null;
  readonly p95: number | null;
}

/** Grants, refusals and expiries, and how long grants took: the last hour as it goes on, or hours that are over. */
export function HistoryPanels() {
  const rows = rowsOf(span.value);
  const at = rows.map((row) => row.at / 1_000);
  const part = span.value === 'hour' ? 'minutes' : 'history';
  const few = rows.length < 2;
  const none = html`<${Empty}>${span.value === 'hour' ? 'The first minutes are being counted.' : 'No hour has been counted yet; it is done after each whole hour.'}<//>`;
  return html`
    <${Panel} title="Decisions per minute" id="rates" part=${part} aside=${html`<${Spans} />`}>
      ${
        few
          ? none
          : html`<${LineChart} key=${span.value} label="Decisions per minute" at=${at} write=${(value: number) => count(Math.round(value * 10) / 10)} lines=${[
              { label: 'granted', ink: 'ink-held', values: rows.map(({ granted }) => granted) },
              { label: 'refused', ink: 'ink-error', dash: [6, 3], values: rows.map(({ refused }) => refused) },
              { label: 'expired', ink: 'ink-draining', dash: [2, 3], values: rows.map(({ expired }) => expired) },
            ]} />`
      }
    <//>
    <${Panel} title="Wait until granted" id="waits" part=${part} aside=${html`<${Spans} />`}>
      ${
        few
          ? none
          : html`<${LineChart} key=${span.value} label="Wait until granted" at=${at} write=${duration} lines=${[
              { label: 'p50', ink: 'ink-held', values: rows.map(({ p50 }) => p50) },
              { label: 'p95', ink: 'ink-maintenance', dash: [6, 3], values: rows.map(({ p95 }) => p95) },
            ]} />`
      }
    <//>`;
}

function Spans() {
  return html`<div class="choice" role="group" aria-label="Time span">
    ${(Object.keys(SPANS) as Span[]).map(
      (each) =>
        html`<button key=${each} type="button" aria-pressed=${span.value === each} onClick=${() => (span.value = each)}>${SPANS[each]}</button>`,
    )}
  </div>`;
}

function rowsOf(wanted: Span): readonly Row[] {
  // The current minute is not over: drawn, it would look as if everything had stopped.
  if (wanted === 'hour') return (parts.minutes.value ?? []).slice(0, -1);
  return (parts.history.value ?? []).slice(-HOURS[wanted]).map((hour) => ({
    at: new Date(hour.hour).getTime(),
    granted: hour.granted / 60,
    refused: hour.refused / 60,
    expired: hour.expired / 60,
    p50: hour.waitP50Ms,
    p95: hour.waitP95Ms,
  }));
}
