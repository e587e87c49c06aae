import { decodeJwt } from 'jose';
import type { CliEnvironment } from './cli-environment.ts';
import { CliFailure, usageFailure } from './cli-failure.ts';
import { signToken } from './token.ts';

/** How long a token lives that the command signs for one run, s. */
const OWN_TOKEN_S = '300';
const OPERATOR = 'operator';

/** The header that shows a token: a service's has its own. */
export type Credentials = Readonly<Record<string, string>>;

/**
 * Who the command acts as: `--token`, else `SCHEDULER_TOKEN`, else outside of production a token signed with the configured
 * secrets: of the first listed service, or of a super admin where no service is listed.
 *
 * @throws CliFailure when there is no token and none can be signed, or what was given is no token
 */
export async function credentialsFor(environment: CliEnvironment, stated: string | undefined): Promise<Credentials> {
  const token = stated ?? environment.token;
  if (token !== undefined) return headerOf(token, stated === undefined ? 'SCHEDULER_TOKEN' : '--token');
  const { userSecret, serviceSecret, allowedServices } = environment;
  const [service] = allowedServices;
  if (userSecret === undefined || serviceSecret === undefined) throw noToken(environment.production);
  const secrets = { userSecret, serviceSecret };
  const words = service === undefined ? { user: OPERATOR, role: ['admin'], super: true } : { service };
  return headerOf(await signToken({ ...words, expiresIn: OWN_TOKEN_S }, secrets), '--token');
}

function headerOf(token: string, from: string): Credentials {
  try {
    const { aud } = decodeJwt(token);
    return [aud].flat().includes('internal-services') ? { 'x-service-token': token } : { authorization: `Bearer ${token}` };
  } catch {
    // The parser's own words say nothing a person can use, and must not repeat the token.
    throw usageFailure(`${from} is not a token: a JWT has three parts, separated by dots.`);
  }
}

function noToken(production: boolean): CliFailure {
  const inDevelopment = 'In development run it where `npm start` runs: the secrets are found there.';
  return new CliFailure({
    exit: 'denied',
    code: 'UNAUTHENTICATED',
    messages: ['There is no token.'],
    hints: [
      'Put one into SCHEDULER_TOKEN, or give --token <jwt>.',
      production ? 'In production none is signed here: the platform issues them.' : inDevelopment,
    ],
  });
}
