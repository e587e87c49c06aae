import { duration, moment, timeExact } from './format.ts';
import { html } from './html.ts';
import type { Story } from './story.ts';

interface Entry {
  readonly at: number;
  readonly kind: string;
  readonly text: string;
  readonly bad?: boolean;
}

/** What happened, in order. Only where the story is that of one request or allocation: of users and devices the lists say more. */
export function Timeline({ story }: { readonly story: Story }) {
  if (story.kind === 'user' || story.kind === 'device') return null;
  const entries = [
    ...requestsOf(story),
    ...allocationsOf(story),
    ...extensionsOf(story),
    ...reservationsOf(story),
    ...eventsOf(story),
    ...jobsOf(story),
  ];
  entries.sort((a, b) => a.at - b.at);
  return html`<section class="panel"><header class="panel-head"><h2>What happened</h2></header>
    <ol class="entries">${entries.map(
      ({ at, kind, text, bad }, index) => html`<li key=${index} class=${bad ? 'bad' : ''}>
        <time title=${moment(at)}>${timeExact(at)}</time><span class="kind">${kind}</span><span>${text}</span>
      </li>`,
    )}</ol>
  </section>`;
}

const ms = (at: string): number => new Date(at).getTime();

function requestsOf({ requests }: Story): Entry[] {
  return requests.flatMap((request) => {
    const asked = { at: ms(request.createdAt), kind: 'request', text: `${request.userId} (${request.tier}) asked by ${request.source}` };
    const waits =
      request.waitingSince === null
        ? []
        : [
            {
              at: ms(request.waitingSince),
              kind: 'request',
              text: `began to wait${request.parked === null ? '' : `, parked: ${request.parked}`}`,
            },
          ];
    const bad = request.status === 'refused' || request.status === 'timed_out';
    const decided =
      request.decidedAt === null
        ? []
        : [
            {
              at: ms(request.decidedAt),
              kind: 'request',
              text: `${request.status}${request.code === null ? '' : `: ${request.code}`} after ${duration(ms(request.decidedAt) - ms(request.createdAt))}`,
              bad,
            },
          ];
    return [asked, ...waits, ...decided];
  });
}

function allocationsOf({ allocations }: Story): Entry[] {
  return allocations.flatMap(({ allocatedAt, deviceName, strategy, fence, endedAt, endReason, billedSeconds, billing, billingError }) => [
    { at: ms(allocatedAt), kind: 'allocation', text: `got ${deviceName} by ${strategy}, fence ${fence}` },
    ...(endedAt === null ? [] : [{ at: ms(endedAt), kind: 'allocation', text: `ended: ${endReason}` }]),
    ...(endedAt === null || billing === null
      ? []
      : [
          {
            at: ms(endedAt),
            kind: 'ledger',
            text: `${duration((billedSeconds ?? 0) * 1_000)} ${billing}${billingError === null ? '' : `: ${billingError}`}`,
            bad: billing === 'dead',
          },
        ]),
  ]);
}

function extensionsOf({ extensions }: Story): Entry[] {
  return extensions.map(({ extendedAt, minutes, automatic, extendedBy }) => ({
    at: ms(extendedAt),
    kind: 'extension',
    text: `${minutes} min more ${automatic ? 'by itself' : `by ${extendedBy}`}`,
  }));
}

function reservationsOf({ reservations }: Story): Entry[] {
  return reservations.flatMap(({ startsAt, endsAt, deviceName, status }) => [
    {
      at: ms(startsAt),
      kind: 'reservation',
      text: `begins${deviceName === null ? '' : ` on ${deviceName}`} (${status})`,
      bad: status === 'failed',
    },
    { at: ms(endsAt), kind: 'reservation', text: 'ends' },
  ]);
}

function eventsOf({ events }: Story): Entry[] {
  return events.map(({ createdAt, deliveredAt, channel, topic, status, attempts, lastError }) => {
    const went = deliveredAt === null ? `${status}, ${attempts} attempts` : `delivered after ${duration(ms(deliveredAt) - ms(createdAt))}`;
    return {
      at: ms(createdAt),
      kind: channel,
      text: `${topic}, ${went}${lastError === null || deliveredAt !== null ? '' : `: ${lastError}`}`,
      bad: status === 'dead',
    };
  });
}

function jobsOf({ jobs }: Story): Entry[] {
  return jobs.map(({ at, queue, name, state, attempts, finishedAt, failedReason }) => ({
    at,
    kind: 'job',
    text: `${queue}/${name}: ${state}${finishedAt === undefined ? '' : ` after ${duration(finishedAt - at)}`}, ${attempts} attempt${attempts === 1 ? '' : 's'}${failedReason === undefined ? '' : `: ${failedReason}`}`,
    bad: state === 'failed',
  }));
}
