import type { ConfigurationFacts } from '../session.ts';
import { type Finding, fine, skipped } from './finding.ts';

/** Any of these says that processes are meant to run from here, and not only the command. */
const OF_PROCESSES = /^(JWT_SECRET|DATABASE_URL|DB_|REDIS_|RABBITMQ_URL|QUEUE_PREFIX)/;

/** Whether the environment a process would read here is right. */
export function checkConfiguration({ problems, warnings, said }: ConfigurationFacts): Finding[] {
  if (!said.some((name) => OF_PROCESSES.test(name))) return [skipped('configuration', 'nothing is configured here; only the API is asked')];
  const wrong = problems.map(({ variable, problem }): Finding => {
    return {
      name: 'configuration',
      status: 'failed',
      says: `${variable} ${problem}`,
      fix: [`Set ${variable}; docs/configuration.md lists what it may be.`],
    };
  });
  const odd = warnings.map((warning): Finding => {
    return { name: 'configuration', status: 'warning', says: warning, fix: ['Is it misspelt? docs/configuration.md lists every name.'] };
  });
  return wrong.length + odd.length === 0 ? [fine('configuration', 'every variable is as it may be')] : [...wrong, ...odd];
}
