import type { Command } from 'commander';
import { z } from 'zod';
import { readAnswer } from '../read-answer.ts';
import type { Host, Session } from '../session.ts';
import { fields } from '../table.ts';
import { durationWords } from '../time-words.ts';
import { acting, id, repeatable, wholeNumber } from '../verb.ts';

interface Words {
  readonly device?: boolean;
  readonly fence?: number;
  readonly reason?: string;
  readonly idempotencyKey?: string;
}

const released = z.object({ allocationId: z.string(), deviceId: z.string(), durationSeconds: z.int(), endReason: z.string() });

/** `release <id>`: ends an allocation. */
export function releaseVerb(program: Command, host: Host): void {
  const command = program
    .command('release')
    .summary('take a device back')
    .description('Ends an allocation. What has ended already is answered as it was the first time.')
    .argument('<id>', 'id of the allocation', id)
    .option('--device', 'the id is that of the device')
    .option('--fence <n>', 'only if the allocation has this fence', wholeNumber(1))
    .option('--reason <text>', 'why, for the record');
  acting<Words>(repeatable(command), host, release);
}

async function release(session: Session, { device, fence, reason, idempotencyKey }: Words, named = ''): Promise<void> {
  const { data } = await session.ask({
    method: 'POST',
    path: '/scheduler/devices/release',
    idempotencyKey,
    body: { [device === true ? 'deviceId' : 'allocationId']: named, fence, reason },
  });
  session.answer(data, () => {
    const { screen } = session;
    const { allocationId, deviceId, durationSeconds, endReason } = readAnswer(released, data);
    const rows = fields(screen, [
      ['allocation', allocationId],
      ['device', deviceId],
      ['held for', durationWords(durationSeconds)],
      ['ended as', endReason],
    ]);
    return `${screen.paint.green('✓')} released\n${rows}`;
  });
}
