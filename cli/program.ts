import { Command } from 'commander';
import { EXIT_CODES } from './exit-codes.ts';
import { createScreen } from './screen.ts';
import type { Host } from './session.ts';
import { allocateVerb } from './verbs/allocate.ts';
import { completionVerb } from './verbs/completion.ts';
import { deadLettersVerb } from './verbs/dead-letters.ts';
import { devicesVerb } from './verbs/devices.ts';
import { doctorVerb } from './verbs/doctor.ts';
import { extendVerb } from './verbs/extend.ts';
import { invariantsVerb } from './verbs/invariants.ts';
import { jobsVerb } from './verbs/jobs.ts';
import { listVerb } from './verbs/list.ts';
import { queueVerb } from './verbs/queue.ts';
import { releaseVerb } from './verbs/release.ts';
import { reservationsVerb } from './verbs/reservations.ts';
import { strategiesVerb } from './verbs/strategies.ts';
import { tokenVerb } from './verbs/token.ts';
import { usersVerb } from './verbs/users.ts';
import { wrapText } from './wrap-text.ts';

/** The verbs, as `--help` groups them. */
const GROUPS = [
  {
    title: 'Devices and users:',
    verbs: [allocateVerb, releaseVerb, extendVerb, listVerb, queueVerb, reservationsVerb, devicesVerb, usersVerb],
  },
  { title: 'Operations:', verbs: [doctorVerb, invariantsVerb, jobsVerb, deadLettersVerb, strategiesVerb] },
  { title: 'Set-up:', verbs: [tokenVerb, completionVerb] },
] as const;

/** The command line, whole. Nothing happens until it is given words. */
export function createProgram(host: Host): Command {
  const { paint, width } = createScreen(host.stdout, host.environment);
  const program = new Command('cloudphone-scheduler')
    .description('The operator’s command of cloudphone-scheduler.')
    .helpCommand(false)
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => void host.stdout.write(text),
      writeErr: (text) => void host.stderr.write(text),
      getOutHelpWidth: () => width,
      getErrHelpWidth: () => width,
      getOutHasColors: () => true,
      // A wrong command line is told in one place, in the shape that was asked for.
      outputError: () => undefined,
    })
    .configureHelp({ styleTitle: paint.bold, styleCommandText: paint.cyan, styleOptionText: paint.cyan, styleArgumentText: paint.cyan })
    .addHelpText('after', exitCodes(width));
  for (const { title, verbs } of GROUPS) {
    program.commandsGroup(title);
    for (const verb of verbs) verb(program, host);
  }
  return program;
}

function exitCodes(width: number): string {
  const rows = Object.values(EXIT_CODES).flatMap(({ code, meaning }) =>
    wrapText(meaning, width - 7).map((line, at) => `  ${(at === 0 ? String(code) : '').padEnd(3)}  ${line}`),
  );
  return `\nExit codes:\n${rows.join('\n')}`;
}
