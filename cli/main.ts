import { loadConfig } from '../shared/config.ts';
import { readEnvironment } from '../shared/config-files.ts';
import { readConfig } from '../shared/read-config.ts';
import { readCliEnvironment } from './cli-environment.ts';
import { configurationFacts } from './configuration-facts.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { runCli } from './run-cli.ts';

const said = readEnvironment();

process.once('SIGINT', () => process.exit(EXIT_CODES.interrupted.code));
// Whoever reads our output may have seen enough: `| head` is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT_CODES.done.code);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), {
  environment: readCliEnvironment(said),
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  secrets: () => {
    const { JWT_SECRET, SERVICE_TOKEN_SECRET } = readConfig();
    return { userSecret: JWT_SECRET, serviceSecret: SERVICE_TOKEN_SECRET };
  },
  configuration: () => configurationFacts(loadConfig(said), said),
});
