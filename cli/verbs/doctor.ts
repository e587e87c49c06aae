import type { Command } from 'commander';
import { askInvariants, type Invariant, invariantText } from '../ask-invariants.ts';
import { CliFailure } from '../cli-failure.ts';
import { checkApi, checkBreakers, checkReadiness, checkToken } from '../doctor/check-api.ts';
import { checkConfiguration } from '../doctor/check-configuration.ts';
import { checkDeadLetters, checkJobs } from '../doctor/check-jobs.ts';
import { doctorText } from '../doctor/doctor-text.ts';
import { type Finding, skipped } from '../doctor/finding.ts';
import { loadServerChecks } from '../doctor/server-checks.ts';
import type { Host, Session } from '../session.ts';
import { acting } from '../verb.ts';

/** `doctor`: what is wrong, and how to mend it. */
export function doctorVerb(program: Command, host: Host): void {
  const command = program
    .command('doctor')
    .summary('what is wrong, and how to mend it')
    .description(
      'Looks at the configuration, the API, the token, the clocks, the scheduled jobs and what could not be delivered; inside a checkout or container also at Postgres, Redis, RabbitMQ and the neighbours themselves. Ends with 1 if something is wrong.',
    )
    .option('--invariants', 'check every invariant as well; reads every table');
  acting<{ invariants?: boolean }>(command, host, doctor);
}

async function doctor(session: Session, words: { invariants?: boolean }): Promise<void> {
  const configuration = session.host.configuration();
  session.progress.show(() => 'looking …');
  const [{ finding: api, ready }, servers] = await Promise.all([checkApi(session), checkServersFrom(configuration)]);
  const throughApi = ready === undefined ? notAsked(words) : await askedOf(session, words);
  session.progress.stop();
  const findings = [
    ...checkConfiguration(configuration),
    ...servers,
    api,
    ...(ready === undefined ? [] : [...checkReadiness(ready), ...checkBreakers(ready)]),
    ...throughApi.findings,
  ];
  const invariants = throughApi.invariants;
  const ok = findings.every(({ status }) => status !== 'failed') && invariants.every((check) => check.ok);
  if (!ok) session.host.exitWith('failed');
  session.answer({ ok, checks: findings, ...(words.invariants === true ? { invariants } : {}) }, () => {
    const rules = invariants.map((check) => invariantText(session.screen, check));
    return [...(rules.length === 0 ? [] : [rules.join('\n')]), doctorText(session.screen, findings)].join('\n\n');
  });
}

async function checkServersFrom({ servers, said }: ReturnType<Host['configuration']>): Promise<Finding[]> {
  const names = ['postgres', 'redis', 'rabbitmq'];
  const check = await loadServerChecks();
  if (check === undefined) return [skipped(names.join(', '), 'only the command is installed here: what the API says of them counts')];
  if (servers === undefined) return [skipped(names.join(', '), 'the configuration has to be right first')];
  if (said.length === 0) return [];
  return check(servers);
}

interface Asked {
  readonly findings: readonly Finding[];
  readonly invariants: readonly Invariant[];
}

/** What only somebody the API knows can be told. */
async function askedOf(session: Session, words: { invariants?: boolean }): Promise<Asked> {
  const token = await checkToken(session);
  if (token.some(({ status, name }) => name === 'token' && status !== 'ok'))
    return { ...notAsked(words), findings: [...token, ...notAsked(words).findings] };
  const looked = await Promise.all([
    orFinding('jobs', () => checkJobs(session)),
    orFinding('dead letters', async () => [await checkDeadLetters(session)]),
  ]);
  const invariants = words.invariants === true ? (await askInvariants(session)).report.checks : [];
  return { findings: [...token, ...looked.flat()], invariants };
}

function notAsked(words: { invariants?: boolean }): Asked {
  const names = ['jobs', 'dead letters', ...(words.invariants === true ? ['invariants'] : [])];
  return { findings: names.map((name) => skipped(name, 'the API could not be asked')), invariants: [] };
}

/** A check that fails is a finding too: the others go on. */
async function orFinding(name: string, check: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof CliFailure)) throw error;
    const { code, messages, hints = [] } = error.facts;
    return [{ name, status: 'failed', says: `${code}: ${messages.join(' ')}`, fix: hints }];
  }
}
