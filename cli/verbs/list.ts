import { type Command, Option } from 'commander';
import { z } from 'zod';
import { momentColumns } from '../moment-columns.ts';
import { paintState } from '../paint.ts';
import { type PageWords, readPages } from '../read-pages.ts';
import type { Host, Session } from '../session.ts';
import { showList } from '../show-list.ts';
import type { Column } from '../table.ts';
import { instant } from '../time-input.ts';
import { durationWords } from '../time-words.ts';
import { acting, id, paged } from '../verb.ts';

interface Words extends PageWords {
  readonly user?: string;
  readonly device?: string;
  readonly status: string;
  readonly from?: string;
  readonly to?: string;
}

const STATUSES = ['allocated', 'released', 'expired', 'any'] as const;

const allocation = z.object({
  allocationId: z.string(),
  deviceId: z.string(),
  deviceName: z.string(),
  userId: z.string(),
  tenantId: z.string().nullable(),
  tier: z.string(),
  status: z.string(),
  fence: z.int(),
  expiresAt: z.string(),
  endedAt: z.string().nullable(),
  endReason: z.string().nullable(),
  durationSeconds: z.int(),
});

type Allocation = z.output<typeof allocation>;

/** `list`: who holds what. */
export function listVerb(program: Command, host: Host): void {
  const command = program
    .command('list')
    .summary('who holds which device')
    .description('Lists allocations, newest first: those that live, unless --status says otherwise.')
    .option('--user <id>', 'of this user')
    .option('--device <id>', 'of this device', id)
    .addOption(new Option('--status <status>', 'which').choices(STATUSES).default('allocated'))
    .option('--from <time>', 'started at or after: 2030-05-17T09:00:00Z', instant)
    .option('--to <time>', 'started before', instant);
  acting<Words>(paged(command), host, list);
}

async function list(session: Session, words: Words): Promise<void> {
  const { user, device, status, from, to } = words;
  const live = status === 'allocated';
  const query = { userId: user, deviceId: device, status: status === 'any' ? undefined : status, from, to };
  const rows = await readPages(session, '/scheduler/allocations', query, words);
  showList(session, rows, {
    shape: allocation,
    columns: (now) => columns(session, live, now),
    none: live ? 'Nobody holds a device.' : 'There is no such allocation.',
  });
}

function columns({ screen }: Session, live: boolean, now: Date): Column<Allocation>[] {
  return [
    { head: 'allocation', value: ({ allocationId }) => allocationId },
    { head: 'user', value: ({ userId }) => userId, least: 6 },
    { head: 'device', value: ({ deviceName }) => deviceName, least: 6 },
    ...(live
      ? []
      : [{ head: 'state', value: ({ status }: Allocation) => status, paint: (text: string) => paintState(screen.paint, text) }]),
    ...momentColumns<Allocation>(screen, live ? 'ends' : 'ended', (row) => (live ? row.expiresAt : row.endedAt), now),
    { head: 'why', value: ({ endReason }) => endReason ?? '', extra: 1 },
    { head: 'held', value: ({ durationSeconds }) => durationWords(durationSeconds), right: true, extra: 1 },
    { head: 'tier', value: ({ tier }) => tier, extra: 2 },
    { head: 'tenant', value: ({ tenantId }) => tenantId ?? '', extra: 3 },
    { head: 'fence', value: ({ fence }) => String(fence), right: true, extra: 4 },
    { head: 'device id', value: ({ deviceId }) => deviceId, extra: 5 },
  ];
}
