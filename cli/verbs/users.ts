import type { Command } from 'commander';
import { z } from 'zod';
import { readAnswer } from '../read-answer.ts';
import type { Host, Session } from '../session.ts';
import { fields } from '../table.ts';
import { onOneLine } from '../text-width.ts';
import { acting } from '../verb.ts';

const user = z.object({
  userId: z.string(),
  tenantId: z.string().nullable(),
  blocked: z.boolean(),
  blockCode: z.string().optional(),
  state: z.string(),
  arrearsSince: z.string().nullable(),
  paymentFailures: z.int(),
  limits: z.record(z.string(), z.unknown()).nullable(),
  limitsFetchedAt: z.string().nullable(),
  use: z.object({ devices: z.int(), cpuCores: z.int(), memoryMB: z.int(), storageMB: z.int() }),
});

/** `users show <user>`: whether somebody is blocked, what they may have and what they hold. */
export function usersVerb(program: Command, host: Host): void {
  const users = program.command('users').summary('what a user may have and holds').description('Users.');
  const show = users
    .command('show')
    .description('Shows whether a user is blocked, their limits, and what they hold.')
    .argument('<user>', 'id of the user');
  acting(show, host, async (session, _words, userId = '') => {
    const { data, at } = await session.ask({ method: 'GET', path: `/scheduler/users/${encodeURIComponent(userId)}` });
    session.answer(data, () => userText(session, data, at));
  });
}

function userText({ screen }: Session, data: unknown, now: Date): string {
  const { paint } = screen;
  const one = readAnswer(user, data);
  const limits = Object.entries(one.limits ?? {}).filter(([, limit]) => limit !== null);
  return fields(screen, [
    ['user', onOneLine(one.userId)],
    ['tenant', onOneLine(one.tenantId ?? '')],
    ['state', one.blocked ? paint.red(`${one.state}, gets no device (${one.blockCode ?? ''})`) : paint.green(one.state)],
    ['in arrears', screen.moment(one.arrearsSince, now)],
    ['failed payments', one.paymentFailures === 0 ? undefined : String(one.paymentFailures)],
    ['holds', `${one.use.devices} device${one.use.devices === 1 ? '' : 's'}, ${one.use.cpuCores} cores, ${one.use.memoryMB} MB`],
    ['limits', limits.length === 0 ? 'not known yet' : `as of ${screen.moment(one.limitsFetchedAt, now)}`],
    ...limits.map(([name, limit]) => [`  ${onOneLine(name)}`, onOneLine(JSON.stringify(limit))] as const),
  ]);
}
