import { type Command, Option } from 'commander';
import { z } from 'zod';
import { DEVICE_TYPES } from '../../shared/allocation/asked.ts';
import { TIER_WORDS } from '../../shared/allocation/tier.ts';
import { RESERVATION_STATUSES } from '../../shared/reservation/reservation.ts';
import { momentColumns } from '../moment-columns.ts';
import { paintState } from '../paint.ts';
import { readAnswer } from '../read-answer.ts';
import { type PageWords, readPages } from '../read-pages.ts';
import type { Host, Session } from '../session.ts';
import { showList } from '../show-list.ts';
import { type Column, fields } from '../table.ts';
import { onOneLine } from '../text-width.ts';
import { instant, minutes } from '../time-input.ts';
import { durationWords } from '../time-words.ts';
import { acting, id, paged, repeatable, wholeNumber } from '../verb.ts';

const reservation = z.object({
  id: z.string(),
  userId: z.string(),
  userTier: z.string(),
  status: z.string(),
  reservedStartTime: z.string(),
  reservedEndTime: z.string(),
  durationMinutes: z.number(),
  deviceId: z.string().nullable(),
  deviceType: z.string().nullable(),
  allocationId: z.string().nullable(),
  cancelReason: z.string().nullable(),
  failureCode: z.string().nullable(),
  failureReason: z.string().nullable(),
  seriesId: z.string().nullable(),
});

type Reservation = z.output<typeof reservation>;

/** `reservations`: devices held for a time to come. */
export function reservationsVerb(program: Command, host: Host): void {
  const reservations = program.command('reservations').summary('devices held for a time to come').description('Reservations.');
  const list = reservations
    .command('list', { isDefault: true })
    .description('Lists reservations, latest start first.')
    .option('--user <id>', 'of this user')
    .option('--device <id>', 'of this device', id)
    .addOption(new Option('--status <status>', 'only these').choices(RESERVATION_STATUSES))
    .option('--from <time>', 'starts at or after: 2030-05-17T09:00:00Z, or +2h', instant)
    .option('--to <time>', 'starts before', instant);
  acting<ListWords>(paged(list), host, showReservations);
  acting(
    reservations.command('show').description('Shows one reservation.').argument('<reservation>', 'id of the reservation', id),
    host,
    async (session, _words, named = '') => {
      const { data, at } = await session.ask({ method: 'GET', path: `/scheduler/reservations/${named}` });
      session.answer(data, () => reservationText(session, data, at));
    },
  );
  const book = reservations
    .command('book')
    .description('Reserves a device.')
    .argument('<user>', 'id of the user')
    .requiredOption('--start <time>', 'when: 2030-05-17T09:00:00Z, or +2h', instant)
    .requiredOption('--for <time>', 'how long: minutes, or 2h, 1h30m; 15 to 1440', minutes)
    .option('--tenant <id>', 'tenant of the user')
    .addOption(new Option('--tier <tier>', 'tier of the user; for service tokens').choices(TIER_WORDS))
    .addOption(new Option('--type <type>', 'kind of device').choices(DEVICE_TYPES))
    .option('--device <id>', 'this device and no other', id)
    .option('--min-cpu <cores>', 'at least so many cores', wholeNumber(0))
    .option('--min-memory <MB>', 'at least so much memory', wholeNumber(0));
  acting<BookWords>(repeatable(book), host, bookReservation);
  const cancel = reservations
    .command('cancel')
    .description('Cancels a reservation that has not begun.')
    .argument('<reservation>', 'id of the reservation', id)
    .option('--series', 'and all of its series that have not begun')
    .option('--reason <text>', 'why, for the record');
  acting<CancelWords>(repeatable(cancel), host, cancelReservation);
}

interface ListWords extends PageWords {
  readonly user?: string;
  readonly device?: string;
  readonly status?: string;
  readonly from?: string;
  readonly to?: string;
}

async function showReservations(session: Session, words: ListWords): Promise<void> {
  const { user, device, status, from, to } = words;
  const query = { userId: user, deviceId: device, status, startTimeFrom: from, startTimeTo: to };
  const rows = await readPages(session, '/scheduler/reservations', query, words);
  showList(session, rows, { shape: reservation, columns: (now) => columns(session, now), none: 'There is no such reservation.' });
}

function columns({ screen }: Session, now: Date): Column<Reservation>[] {
  return [
    { head: 'reservation', value: (row) => row.id },
    { head: 'user', value: (row) => row.userId, least: 6 },
    { head: 'state', value: (row) => row.status, paint: (text) => paintState(screen.paint, text) },
    ...momentColumns<Reservation>(screen, 'starts', (row) => row.reservedStartTime, now),
    { head: 'for', value: (row) => durationWords(row.durationMinutes * 60), right: true, extra: 1 },
    { head: 'type', value: (row) => row.deviceType ?? 'any', extra: 2 },
    { head: 'why', value: (row) => row.failureCode ?? row.cancelReason ?? '', extra: 3 },
    { head: 'device id', value: (row) => row.deviceId ?? '', extra: 4 },
  ];
}

function reservationText({ screen }: Session, data: unknown, now: Date): string {
  const one = readAnswer(reservation, data);
  return fields(screen, [
    ['reservation', one.id],
    ['user', `${onOneLine(one.userId)} (${one.userTier})`],
    ['state', paintState(screen.paint, one.status)],
    ['starts', screen.moment(one.reservedStartTime, now)],
    ['ends', `${screen.moment(one.reservedEndTime, now)} (${durationWords(one.durationMinutes * 60)})`],
    ['device', one.deviceId ?? undefined],
    ['wants', one.deviceType ?? 'any device'],
    ['allocation', one.allocationId ?? undefined],
    ['series', one.seriesId ?? undefined],
    ['why', onOneLine([one.failureCode, one.failureReason ?? one.cancelReason].filter((text) => text !== null).join(': '))],
  ]);
}

interface BookWords {
  readonly start: string;
  readonly for: number;
  readonly tenant?: string;
  readonly tier?: string;
  readonly type?: string;
  readonly device?: string;
  readonly minCpu?: number;
  readonly minMemory?: number;
  readonly idempotencyKey?: string;
}

async function bookReservation(session: Session, words: BookWords, userId = ''): Promise<void> {
  const { data, at } = await session.ask({
    method: 'POST',
    path: '/scheduler/reservations',
    idempotencyKey: words.idempotencyKey,
    body: {
      userId,
      tenantId: words.tenant,
      userTier: words.tier,
      reservedStartTime: words.start,
      durationMinutes: words.for,
      deviceType: words.type,
      deviceId: words.device,
      minCpu: words.minCpu,
      minMemory: words.minMemory,
    },
  });
  session.answer(data, () => `${session.screen.paint.green('✓')} reserved\n${reservationText(session, data, at)}`);
}

interface CancelWords {
  readonly series?: boolean;
  readonly reason?: string;
  readonly idempotencyKey?: string;
}

async function cancelReservation(session: Session, { series, reason, idempotencyKey }: CancelWords, named = ''): Promise<void> {
  const path = `/scheduler/reservations/${named}/cancel`;
  const { data, at } = await session.ask({ method: 'POST', path, idempotencyKey, body: { series, reason } });
  session.answer(data, () => {
    const { cancelledIds } = readAnswer(z.object({ cancelledIds: z.array(z.string()).optional() }), data);
    const many = cancelledIds === undefined ? '' : ` ${cancelledIds.length} of the series`;
    return `${session.screen.paint.green('✓')} cancelled${many}\n${reservationText(session, data, at)}`;
  });
}
