import type { Command } from 'commander';
import { askInvariants, invariantText } from '../ask-invariants.ts';
import type { Host } from '../session.ts';
import { acting } from '../verb.ts';

/** `invariants`: whether what must always hold does hold. */
export function invariantsVerb(program: Command, host: Host): void {
  const command = program
    .command('invariants')
    .summary('check that what must hold does hold')
    .description('Checks every invariant in the database, read-only. Ends with 1 if one is broken.');
  acting(command, host, async (session) => {
    const { data, report } = await askInvariants(session);
    if (!report.ok) session.host.exitWith('failed');
    session.answer(data, () => {
      const broken = report.checks.filter(({ ok }) => !ok).length;
      const { paint } = session.screen;
      const sum = report.ok ? paint.green(`all ${report.checks.length} hold`) : paint.red(`${broken} of ${report.checks.length} broken`);
      return `${report.checks.map((check) => invariantText(session.screen, check)).join('\n')}\n\n${sum}`;
    });
  });
}
