import { jwtVerify } from 'jose';

/** Says whether a header carries a service token of this platform. Tokens seen to be good are remembered until they end. */
export function createTokenCheck(secret: string): (header: string | string[] | undefined) => Promise<boolean> {
  const key = new TextEncoder().encode(secret);
  const good = new Map<string, number>();
  return async (header) => {
    if (typeof header !== 'string') return false;
    const known = good.get(header);
    if (known !== undefined && known > Date.now()) return true;
    const ends = await endOf(header, key);
    if (ends === undefined) return false;
    good.set(header, ends);
    return true;
  };
}

async function endOf(token: string, key: Uint8Array): Promise<number | undefined> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['HS256'],
      issuer: 'cloudphone-platform',
      audience: 'internal-services',
    });
    return payload['service'] === 'device-service' && payload.exp !== undefined ? payload.exp * 1000 : undefined;
  } catch {
    // Whatever is wrong with it, the answer is 401.
    return undefined;
  }
}
