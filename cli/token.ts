import { SignJWT } from 'jose';
import { tierOf } from '../shared/allocation/tier.ts';

/** What was said on the command line. */
export interface TokenWords {
  readonly user?: string;
  readonly role?: readonly string[];
  readonly tenant?: string;
  readonly tier?: string;
  readonly super?: boolean;
  readonly service?: string;
  /** Seconds. */
  readonly expiresIn: string;
}

/** Keys of the two kinds of token. */
export interface TokenSecrets {
  readonly userSecret: string;
  readonly serviceSecret: string;
}

const ISSUER = 'cloudphone-platform';

/**
 * Signs a token as the platform would.
 *
 * @throws Error with a sentence for people when the words do not fit together
 */
export async function signToken(words: TokenWords, secrets: TokenSecrets): Promise<string> {
  const seconds = Number(words.expiresIn);
  if (!Number.isInteger(seconds) || seconds < 1) throw new Error('--expires-in must be a whole number of seconds');
  if ((words.user === undefined) === (words.service === undefined)) throw new Error('say either --user or --service');
  const claims = words.user === undefined ? serviceClaims(words) : userClaims(words);
  const token = new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(ISSUER)
    .setIssuedAt()
    .setExpirationTime(`${seconds}s`);
  if (words.user === undefined) return token.setAudience('internal-services').sign(Buffer.from(secrets.serviceSecret));
  return token.setSubject(words.user).setAudience('cloudphone-users').sign(Buffer.from(secrets.userSecret));
}

function userClaims({ role, tenant, tier, super: isSuperAdmin }: TokenWords): Record<string, unknown> {
  if (tier !== undefined && tierOf(tier) === undefined) throw new Error(`--tier: there is no tier ${tier}`);
  return {
    roles: role ?? [],
    ...(tenant === undefined ? {} : { tenantId: tenant }),
    ...(tier === undefined ? {} : { tier }),
    ...(isSuperAdmin === true ? { isSuperAdmin } : {}),
  };
}

function serviceClaims({ service, role, tenant, tier, super: isSuperAdmin }: TokenWords): Record<string, unknown> {
  if ([role, tenant, tier, isSuperAdmin].some((word) => word !== undefined))
    throw new Error('--role, --tenant, --tier and --super are for --user');
  return { service };
}
