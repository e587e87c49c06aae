import { SignJWT } from 'jose';

const LIFE_SECONDS = 3600;
const REMINT_SECONDS_EARLY = 300;

/** Gives the value of `X-Service-Token`, the same one until shortly before it ends. */
export interface ServiceToken {
  current(): Promise<string>;
}

interface Minted {
  readonly token: Promise<string>;
  readonly remintAt: number;
}

/**
 * @param secret  key of service tokens (HS256)
 * @param now     the clock, ms; tests move it
 */
export function createServiceToken(secret: string, now: () => number = Date.now): ServiceToken {
  const key = new TextEncoder().encode(secret);
  let minted: Minted | undefined;
  return {
    current() {
      const seconds = Math.floor(now() / 1000);
      if (minted === undefined || seconds >= minted.remintAt) {
        minted = { token: mint(key, seconds), remintAt: seconds + LIFE_SECONDS - REMINT_SECONDS_EARLY };
      }
      return minted.token;
    },
  };
}

function mint(key: Uint8Array, issuedAt: number): Promise<string> {
  return new SignJWT({ service: 'device-service' })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer('cloudphone-platform')
    .setAudience('internal-services')
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + LIFE_SECONDS)
    .sign(key);
}
