import { createSecretKey } from 'node:crypto';
import { errors, jwtVerify } from 'jose';
import { z } from 'zod';
import { partyId } from '../shared/allocation/party-id.ts';
import { tierOf } from '../shared/allocation/tier.ts';
import { messageOf, SchedulerError } from '../shared/errors.ts';
import type { Caller } from './caller.ts';
import { createTokenCache } from './token-cache.ts';

/** Keys and names that tokens are checked against. */
export interface TokenOptions {
  readonly userSecret: string;
  readonly serviceSecret: string;
  readonly allowedServices: readonly string[];
}

/** The two headers a caller can show. */
export interface Credentials {
  readonly authorization?: string | undefined;
  readonly serviceToken?: string | undefined;
}

export const TOKEN_ISSUER = 'cloudphone-platform';
export const USER_AUDIENCE = 'cloudphone-users';
export const SERVICE_AUDIENCE = 'internal-services';

const ALGORITHM = 'HS256';
const CLOCK_TOLERANCE_S = 5;
const CACHED_TOKENS = 10_000;

const userClaims = z.object({
  sub: partyId,
  tenantId: partyId.nullish(),
  roles: z.array(z.string()).nullish(),
  isSuperAdmin: z.boolean().nullish(),
  tier: z.string().nullish(),
});

const serviceClaims = z.object({ service: z.string().min(1).max(128) });

/**
 * Makes the one function that says who calls.
 *
 * A verified token is remembered until it expires, because checking a signature costs more than everything else a cached
 * read does. A service token outranks a user token: who shows both acts as the service.
 *
 * @returns a function throwing SchedulerError UNAUTHENTICATED (no token, or not a valid one) or FORBIDDEN (service not listed)
 */
export function createAuthenticator(options: TokenOptions): (credentials: Credentials) => Caller | Promise<Caller> {
  const userKey = createSecretKey(Buffer.from(options.userSecret));
  const serviceKey = createSecretKey(Buffer.from(options.serviceSecret));
  const users = createTokenCache(CACHED_TOKENS);
  const services = createTokenCache(CACHED_TOKENS);

  async function verifyUser(token: string): Promise<Caller> {
    const payload = await verify(token, userKey, USER_AUDIENCE);
    const claims = userClaims.safeParse(payload);
    if (!claims.success) throw unauthenticated('The claims of the token are not valid.', claims.error);
    return users.keep(token, userOf(claims.data), payload.exp);
  }

  async function verifyService(token: string): Promise<Caller> {
    const payload = await verify(token, serviceKey, SERVICE_AUDIENCE);
    const claims = serviceClaims.safeParse(payload);
    if (!claims.success) throw unauthenticated('The claims of the token are not valid.', claims.error);
    const { service } = claims.data;
    if (!options.allowedServices.includes(service)) {
      throw new SchedulerError('FORBIDDEN', { messages: ['This service is not on the list of accepted services.'] });
    }
    return services.keep(token, { role: 'service', id: service, key: `service:${service}`, tenantId: null, tier: null }, payload.exp);
  }

  return ({ authorization, serviceToken }) => {
    if (serviceToken !== undefined) return services.find(serviceToken) ?? verifyService(serviceToken);
    const token = bearerOf(authorization);
    return users.find(token) ?? verifyUser(token);
  };
}

function bearerOf(authorization: string | undefined): string {
  const token = authorization === undefined ? undefined : /^Bearer +(\S+)$/i.exec(authorization)?.[1];
  if (token === undefined) throw unauthenticated('Send a token: Authorization: Bearer <JWT>, or X-Service-Token.');
  return token;
}

async function verify(token: string, key: ReturnType<typeof createSecretKey>, audience: string) {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [ALGORITHM],
      issuer: TOKEN_ISSUER,
      audience,
      clockTolerance: CLOCK_TOLERANCE_S,
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw unauthenticated('The token has expired.', error);
    throw unauthenticated('The token is not valid.', error);
  }
}

function userOf(claims: z.output<typeof userClaims>): Caller {
  return {
    role: claims.isSuperAdmin === true ? 'super' : claims.roles?.includes('admin') === true ? 'admin' : 'user',
    id: claims.sub,
    key: `user:${claims.sub}`,
    tenantId: claims.tenantId ?? null,
    tier: claims.tier == null ? null : (tierOf(claims.tier) ?? null),
  };
}

function unauthenticated(message: string, cause?: unknown): SchedulerError {
  return new SchedulerError('UNAUTHENTICATED', {
    messages: [message],
    ...(cause === undefined ? {} : { cause: new Error(messageOf(cause)) }),
  });
}
