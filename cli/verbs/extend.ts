import type { Command } from 'commander';
import { z } from 'zod';
import { readAnswer } from '../read-answer.ts';
import type { Host, Session } from '../session.ts';
import { fields } from '../table.ts';
import { minutes } from '../time-input.ts';
import { durationWords } from '../time-words.ts';
import { acting, id, repeatable, wholeNumber } from '../verb.ts';

interface Words {
  readonly by: number;
  readonly fence?: number;
  readonly reason?: string;
  readonly idempotencyKey?: string;
}

const extended = z.object({
  oldExpiresAt: z.string(),
  newExpiresAt: z.string(),
  additionalMinutes: z.int(),
  extendCount: z.int(),
  remainingExtends: z.int(),
  totalDurationMinutes: z.int(),
});

/** `extend <allocation> --by <time>`: more time. */
export function extendVerb(program: Command, host: Host): void {
  const command = program
    .command('extend')
    .summary('give an allocation more time')
    .description('Extends a live allocation, within the limits of its tier.')
    .argument('<allocation>', 'id of the allocation', id)
    .requiredOption('--by <time>', 'how much longer: minutes, or 2h, 1h30m', minutes)
    .option('--fence <n>', 'only if the allocation has this fence', wholeNumber(1))
    .option('--reason <text>', 'why, for the record');
  acting<Words>(repeatable(command), host, extend);
}

async function extend(session: Session, { by, fence, reason, idempotencyKey }: Words, allocationId = ''): Promise<void> {
  const path = `/scheduler/allocations/${allocationId}/extend`;
  const { data, at } = await session.ask({ method: 'PUT', path, idempotencyKey, body: { additionalMinutes: by, fence, reason } });
  session.answer(data, () => {
    const { screen } = session;
    const answer = readAnswer(extended, data);
    const rows = fields(screen, [
      ['allocation', allocationId],
      ['until', screen.moment(answer.newExpiresAt, at)],
      ['before', screen.moment(answer.oldExpiresAt, at)],
      ['in all', durationWords(answer.totalDurationMinutes * 60)],
      ['can be extended', answer.remainingExtends === -1 ? 'without limit' : `${answer.remainingExtends} more times`],
    ]);
    return `${screen.paint.green('✓')} extended by ${durationWords(answer.additionalMinutes * 60)}\n${rows}`;
  });
}
