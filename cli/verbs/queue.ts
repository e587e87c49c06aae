import { type Command, Option } from 'commander';
import { z } from 'zod';
import { DEVICE_TYPES } from '../../shared/allocation/asked.ts';
import { TIER_WORDS } from '../../shared/allocation/tier.ts';
import { momentColumns } from '../moment-columns.ts';
import { paintState } from '../paint.ts';
import { readAnswer } from '../read-answer.ts';
import { type PageWords, readPages } from '../read-pages.ts';
import { type Host, isFailure, type Session } from '../session.ts';
import { showList } from '../show-list.ts';
import { type Column, fields } from '../table.ts';
import { onOneLine } from '../text-width.ts';
import { minutes } from '../time-input.ts';
import { durationWords } from '../time-words.ts';
import { acting, id, paged, repeatable, wholeNumber } from '../verb.ts';

const STATUSES = ['waiting', 'processing', 'fulfilled', 'expired', 'cancelled', 'any'] as const;

const entry = z.object({
  id: z.string(),
  userId: z.string(),
  status: z.string(),
  userTier: z.string(),
  maxWaitMinutes: z.int().nullable(),
  durationMinutes: z.int().nullable(),
  deviceType: z.string().optional(),
  allocationId: z.string().optional(),
  retryCount: z.int(),
  createdAt: z.string(),
  processedAt: z.string().optional(),
  cancelReason: z.string().optional(),
  expiryReason: z.string().optional(),
});

const place = z.object({
  position: z.int(),
  estimatedStart: z.object({ p50: z.string(), p90: z.string() }).optional(),
  waitedMinutes: z.int(),
  remainingMaxWaitMinutes: z.int(),
  reason: z.string(),
});

const counts = z.object({
  waiting: z.int(),
  parked: z.int(),
  byTier: z.record(z.string(), z.int()),
  fulfilled: z.int(),
  expired: z.int(),
  cancelled: z.int(),
  waitP50Seconds: z.number().nullable(),
  waitP95Seconds: z.number().nullable(),
});

type Entry = z.output<typeof entry>;

/** `queue`: who waits, and for what. */
export function queueVerb(program: Command, host: Host): void {
  const queue = program.command('queue').summary('who waits for a device').description('The waiting queue.');
  const list = queue
    .command('list', { isDefault: true })
    .description('Lists entries of the queue, newest first: those that wait, unless --status says otherwise.')
    .option('--user <id>', 'of this user')
    .addOption(new Option('--status <status>', 'which').choices(STATUSES).default('waiting'))
    .addOption(new Option('--type <type>', 'waiting for this kind of device').choices(DEVICE_TYPES));
  acting<ListWords>(paged(list), host, showEntries);
  acting(
    queue
      .command('show')
      .description('Shows one entry: its place, why it waits, when a device is expected.')
      .argument('<entry>', 'id of the entry or request', id),
    host,
    (session, _words, named = '') => showEntry(session, named),
  );
  acting(queue.command('stats').description('Counts and waits of the last 24 hours.'), host, showCounts);
  const join = queue
    .command('join')
    .description('Puts a user into the queue.')
    .argument('<user>', 'id of the user')
    .option('--for <time>', 'how long they want it: minutes, or 2h, 1h30m; at least 15 (default: 60)', minutes)
    .addOption(new Option('--tier <tier>', 'tier of the user').choices(TIER_WORDS))
    .addOption(new Option('--type <type>', 'kind of device').choices(DEVICE_TYPES))
    .option('--min-cpu <cores>', 'at least so many cores', wholeNumber(0))
    .option('--min-memory <MB>', 'at least so much memory', wholeNumber(0))
    .option('--max-wait <time>', 'longest wait, at most 2h (default: 30)', minutes);
  acting<JoinWords>(repeatable(join), host, joinQueue);
  const leave = queue
    .command('leave')
    .description('Takes an entry out of the queue.')
    .argument('<entry>', 'id of the entry', id)
    .option('--reason <text>', 'why, for the record');
  acting<LeaveWords>(repeatable(leave), host, leaveQueue);
}

interface ListWords extends PageWords {
  readonly user?: string;
  readonly status: string;
  readonly type?: string;
}

async function showEntries(session: Session, words: ListWords): Promise<void> {
  const query = { userId: words.user, status: words.status === 'any' ? undefined : words.status, deviceType: words.type };
  const rows = await readPages(session, '/scheduler/queue', query, words);
  showList(session, rows, { shape: entry, columns: (now) => columns(session, now), none: 'Nobody waits.' });
}

function columns({ screen }: Session, now: Date): Column<Entry>[] {
  return [
    { head: 'entry', value: (row) => row.id },
    { head: 'user', value: (row) => row.userId, least: 6 },
    { head: 'state', value: (row) => row.status, paint: (text) => paintState(screen.paint, text) },
    ...momentColumns<Entry>(screen, 'since', (row) => row.createdAt, now),
    { head: 'tier', value: (row) => row.userTier, extra: 1 },
    { head: 'type', value: (row) => row.deviceType ?? 'any', extra: 2 },
    { head: 'wants', value: (row) => (row.durationMinutes === null ? '' : durationWords(row.durationMinutes * 60)), right: true, extra: 3 },
    { head: 'tries', value: (row) => String(row.retryCount), right: true, extra: 4 },
    { head: 'why', value: (row) => row.cancelReason ?? row.expiryReason ?? '', extra: 5 },
    { head: 'allocation', value: (row) => row.allocationId ?? '', extra: 6 },
  ];
}

async function showEntry(session: Session, named: string): Promise<void> {
  const { data, at } = await session.ask({ method: 'GET', path: `/scheduler/queue/${named}` });
  const position = await placeOf(session, named);
  session.answer({ entry: data, position: position ?? null }, () => {
    const { screen } = session;
    const one = readAnswer(entry, data);
    const waits = position === undefined ? undefined : readAnswer(place, position);
    return fields(screen, [
      ['entry', one.id],
      ['user', `${onOneLine(one.userId)} (${one.userTier})`],
      ['state', paintState(screen.paint, one.status)],
      ['position', waits && (waits.position === 1 ? '1, next' : String(waits.position))],
      ['waits for', waits?.reason],
      ['expected', waits?.estimatedStart && screen.moment(waits.estimatedStart.p50, at)],
      ['nine in ten by', waits?.estimatedStart && screen.moment(waits.estimatedStart.p90, at)],
      ['waited', waits && durationWords(waits.waitedMinutes * 60)],
      ['gives up in', waits && durationWords(waits.remainingMaxWaitMinutes * 60)],
      [
        'wants',
        `${one.deviceType ?? 'any device'}${one.durationMinutes === null ? '' : ` for ${durationWords(one.durationMinutes * 60)}`}`,
      ],
      ['since', screen.moment(one.createdAt, at)],
      ['decided', screen.moment(one.processedAt, at)],
      ['why', onOneLine(one.cancelReason ?? one.expiryReason ?? '')],
      ['allocation', one.allocationId],
    ]);
  });
}

/** The place of an entry, unless it has been decided meanwhile. */
async function placeOf(session: Session, named: string): Promise<unknown> {
  try {
    return (await session.ask({ method: 'GET', path: `/scheduler/queue/${named}/position` })).data;
  } catch (error) {
    if (isFailure(error, 'REQUEST_DECIDED')) return undefined;
    throw error;
  }
}

async function showCounts(session: Session): Promise<void> {
  const { data } = await session.ask({ method: 'GET', path: '/scheduler/queue/stats' });
  session.answer(data, () => {
    const stats = readAnswer(counts, data);
    const tiers = Object.entries(stats.byTier).map(([tier, count]) => `${tier} ${count}`);
    const wait = (seconds: number | null) => (seconds === null ? 'unknown' : durationWords(seconds));
    return fields(session.screen, [
      ['waiting', `${stats.waiting}${tiers.length === 0 ? '' : ` (${tiers.join(', ')})`}`],
      ['passed over', String(stats.parked)],
      ['got a device', String(stats.fulfilled)],
      ['gave up', String(stats.expired)],
      ['left', String(stats.cancelled)],
      ['half waited', wait(stats.waitP50Seconds)],
      ['19 of 20 waited', wait(stats.waitP95Seconds)],
    ]);
  });
}

interface JoinWords {
  readonly for?: number;
  readonly tier?: string;
  readonly type?: string;
  readonly minCpu?: number;
  readonly minMemory?: number;
  readonly maxWait?: number;
  readonly idempotencyKey?: string;
}

async function joinQueue(session: Session, words: JoinWords, userId = ''): Promise<void> {
  const { data } = await session.ask({
    method: 'POST',
    path: '/scheduler/queue/join',
    idempotencyKey: words.idempotencyKey,
    body: {
      userId,
      userTier: words.tier,
      durationMinutes: words.for,
      deviceType: words.type,
      minCpu: words.minCpu,
      minMemory: words.minMemory,
      maxWaitMinutes: words.maxWait,
    },
  });
  const { id: named } = readAnswer(z.object({ id: z.string() }), data);
  if (session.json) return session.answer(data, () => '');
  await showEntry(session, named);
}

interface LeaveWords {
  readonly reason?: string;
  readonly idempotencyKey?: string;
}

async function leaveQueue(session: Session, { reason, idempotencyKey }: LeaveWords, named = ''): Promise<void> {
  const { data } = await session.ask({ method: 'POST', path: `/scheduler/queue/${named}/cancel`, idempotencyKey, body: { reason } });
  session.answer(data, () => {
    const { userId } = readAnswer(entry, data);
    return `${session.screen.paint.green('✓')} ${onOneLine(userId)} left the queue`;
  });
}
