import type { Command } from 'commander';
import { messageOf } from '../../shared/errors.ts';
import { CliFailure, usageFailure } from '../cli-failure.ts';
import type { Host } from '../session.ts';
import { signToken, type TokenWords } from '../token.ts';

/** `token`: a signed token, for development. */
export function tokenVerb(program: Command, host: Host): void {
  program
    .command('token')
    .summary('print a signed token, for development')
    .description('Prints a token signed with the configured secrets. Refused in production: there the platform issues them.')
    .option('--user <id>', 'a user token for this user')
    .option('--role <role...>', 'roles of the user, for example admin')
    .option('--tenant <id>', 'tenant of the user')
    .option('--tier <tier>', 'tier of the user')
    .option('--super', 'the user is a super admin')
    .option('--service <name>', 'a service token for this service')
    .option('--expires-in <seconds>', 'how long it is valid', '86400')
    .option('--json', 'one JSON document, for scripts')
    .action(async (words: TokenWords & { json?: boolean }) => {
      if (host.environment.production) throw refused();
      const token = await sign(words, host.secrets());
      const header = words.service === undefined ? `Authorization: Bearer ${token}` : `X-Service-Token: ${token}`;
      host.stdout.write(words.json === true ? `${JSON.stringify({ token, header }, null, 2)}\n` : `${token}\n`);
    });
}

async function sign(words: TokenWords, secrets: ReturnType<Host['secrets']>): Promise<string> {
  try {
    return await signToken(words, secrets);
  } catch (error) {
    throw usageFailure(messageOf(error));
  }
}

function refused(): CliFailure {
  return new CliFailure({
    exit: 'failed',
    code: 'FORBIDDEN',
    messages: ['tokens are not made here in production: the platform issues them'],
    hints: ['Put one of the platform into SCHEDULER_TOKEN.'],
  });
}
