import { type Command, Option } from 'commander';
import { z } from 'zod';
import { usageFailure } from '../cli-failure.ts';
import { readAnswer } from '../read-answer.ts';
import { type PageWords, readPages } from '../read-pages.ts';
import type { Host, Session } from '../session.ts';
import { showList } from '../show-list.ts';
import type { Column } from '../table.ts';
import { acting, id, paged, repeatable, wholeNumber } from '../verb.ts';

const KINDS = ['billing', 'usage', 'notification', 'event'] as const;
const MOST = 1_000;

const letter = z.object({
  id: z.string(),
  kind: z.string(),
  allocationId: z.string().nullable(),
  userId: z.string().nullable(),
  attempts: z.int(),
  lastError: z.string().nullable(),
  reason: z.string(),
  createdAt: z.string(),
});

/** `dead-letters`: what could not be delivered. */
export function deadLettersVerb(program: Command, host: Host): void {
  const letters = program
    .command('dead-letters')
    .summary('what could not be delivered, and trying it again')
    .description('Bills, reports of use, notices and events that are not tried again until somebody says so.');
  const list = letters
    .command('list', { isDefault: true })
    .description('Lists dead letters, newest first.')
    .addOption(new Option('--kind <kind>', 'only these').choices(KINDS));
  acting<PageWords & { kind?: string }>(paged(list), host, async (session, words) => {
    const rows = await readPages(session, '/scheduler/dead-letters', { kind: words.kind }, words);
    showList(session, rows, { shape: letter, columns: (now) => columns(session, now), none: 'There is none: everything was delivered.' });
  });
  const retry = letters
    .command('retry')
    .description('Tries one again, or many, the oldest first. Mend the cause first: see the error in the list.')
    .argument('[letter]', 'id of one; left out: many, see --kind and --limit', id)
    .addOption(new Option('--kind <kind>', 'of many: only these').choices(KINDS))
    .option('--limit <n>', `of many: at most so many (default: ${MOST})`, wholeNumber(1, MOST));
  acting<RetryWords>(repeatable(retry), host, retryLetters);
}

function columns({ screen }: Session, now: Date): Column<z.output<typeof letter>>[] {
  return [
    { head: 'letter', value: (row) => row.id },
    { head: 'kind', value: (row) => row.kind },
    { head: 'error', value: (row) => row.lastError ?? row.reason, least: 12 },
    { head: 'since', value: (row) => screen.distance(row.createdAt, now), extra: 1 },
    { head: 'tries', value: (row) => String(row.attempts), right: true, extra: 2 },
    { head: 'user', value: (row) => row.userId ?? '', extra: 3 },
    { head: 'about', value: (row) => row.reason, extra: 4 },
    { head: 'allocation', value: (row) => row.allocationId ?? '', extra: 5 },
  ];
}

interface RetryWords {
  readonly kind?: string;
  readonly limit?: number;
  readonly idempotencyKey?: string;
}

async function retryLetters(session: Session, { kind, limit, idempotencyKey }: RetryWords, named?: string): Promise<void> {
  const mark = session.screen.paint.green('✓');
  if (named !== undefined) {
    if (kind !== undefined || limit !== undefined) throw usageFailure('--kind and --limit are for many; leave them out with an id.');
    const { data } = await session.ask({ method: 'POST', path: `/scheduler/dead-letters/${named}/retry`, idempotencyKey });
    return session.answer(data, () => `${mark} ${named} is tried again`);
  }
  const { data } = await session.ask({ method: 'POST', path: '/scheduler/dead-letters/retry', idempotencyKey, body: { kind, limit } });
  session.answer(data, () => {
    const { count } = readAnswer(z.object({ count: z.int() }), data);
    return count === 0 ? 'There was none to try again.' : `${mark} ${count} are tried again`;
  });
}
