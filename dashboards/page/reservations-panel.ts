import { count, moment, relative, time } from './format.ts';
import { html } from './html.ts';
import { now, parts } from './live.ts';
import { Empty, Panel } from './panel.ts';
import { storyPath } from './route.ts';
import type { NextReservation } from './wire-data.ts';

const HOUR_MS = 3_600_000;
/** Shown before now, so that what runs is seen. */
const PAST_MS = HOUR_MS / 2;
const SPANS_H = [2, 4, 8, 24, 48, 168, 720];
const ROWS = 13;

/** What runs or begins next, on a timeline. */
export function ReservationsPanel() {
  const all = parts.reservations.value ?? [];
  const shown = all.slice(0, ROWS);
  const from = now.value - PAST_MS;
  const furthest = Math.max(0, ...shown.map(({ startsAt }) => new Date(startsAt).getTime() - now.value));
  const span = (SPANS_H.find((hours) => hours * HOUR_MS > furthest * 1.2) ?? 720) * HOUR_MS + PAST_MS;
  const at = (moment: number | string) => `${Math.min(100, Math.max(0, (100 * (new Date(moment).getTime() - from)) / span))}%`;
  return html`<${Panel} title="Next reservations" id="reservations" part="reservations" aside=${all.length > ROWS ? `the next ${count(ROWS)}` : ''}>
    ${
      shown.length === 0
        ? html`<${Empty}>Nothing is reserved.<//>`
        : html`<div class="timeline">
      <div class="axis" aria-hidden="true">${ticks(from, span).map((tick) => html`<span key=${tick} style=${{ left: at(tick) }}>${time(tick, now.value)}</span>`)}</div>
      <ol>${shown.map((reservation) => html`<${Stretch} key=${reservation.id} reservation=${reservation} at=${at} />`)}</ol>
      <i class="now" style=${{ '--at': PAST_MS / span }} aria-hidden="true"></i>
    </div>`
    }
  <//>`;
}

/** How soon, or when. */
function soon(at: string): string {
  return new Date(at).getTime() - now.value < HOUR_MS ? relative(at, now.value) : time(at, now.value);
}

function Stretch({ reservation, at }: { readonly reservation: NextReservation; readonly at: (moment: string) => string }) {
  const { id, userId, deviceName, status, startsAt, endsAt } = reservation;
  const title = `${userId}, ${deviceName ?? 'no device yet'}: ${moment(startsAt)} to ${moment(endsAt)}, ${status}`;
  return html`<li>
    <a href=${storyPath('reservation', id)} title=${title}><span class="cut">${userId}</span><small>${status === 'executing' ? 'runs' : soon(startsAt)}</small></a>
    <div class="track"><i class="stretch ${status}" style=${{ left: at(startsAt), right: `calc(100% - ${at(endsAt)})` }}></i></div>
  </li>`;
}

const PARTS = 4;

/** Round times, four or so. */
function ticks(from: number, span: number): readonly number[] {
  const step =
    [HOUR_MS / 2, HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS, 48 * HOUR_MS].find((each) => span / each <= PARTS + 2) ??
    168 * HOUR_MS;
  const first = Math.ceil(from / step) * step;
  return Array.from({ length: Math.floor((from + span - first) / step) + 1 }, (_, index) => first + index * step).filter(
    (tick) => tick < from + span * 0.94,
  );
}
