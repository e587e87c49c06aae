import { Command } from 'commander';
import { messageOf } from '../shared/errors.ts';
import { readConfig } from '../shared/read-config.ts';
import { signToken, type TokenWords } from './token.ts';

const program = new Command('cloudphone-scheduler').description('The operator’s command of cloudphone-scheduler');

program
  .command('token')
  .description('print a signed token, for development')
  .option('--user <id>', 'a user token for this user')
  .option('--role <role...>', 'roles of the user, for example admin')
  .option('--tenant <id>', 'tenant of the user')
  .option('--tier <tier>', 'tier of the user')
  .option('--super', 'the user is a super admin')
  .option('--service <name>', 'a service token for this service')
  .option('--expires-in <seconds>', 'how long it is valid', '86400')
  .action(async (words: TokenWords) => {
    const config = readConfig();
    if (config.NODE_ENV === 'production') throw new Error('tokens are not made here in production: the platform issues them');
    process.stdout.write(`${await signToken(words, { userSecret: config.JWT_SECRET, serviceSecret: config.SERVICE_TOKEN_SECRET })}\n`);
  });

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
