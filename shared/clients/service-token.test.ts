import { describe, expect, test } from '@jest/globals';
import { jwtVerify } from 'jose';
import { createServiceToken } from './service-token.ts';

const SECRET = 'a secret of the services, long enough';
const START = Date.parse('2026-01-01T00:00:00Z');

describe('the service token', () => {
  test('says who we are to whom, for an hour', async () => {
    const token = await createServiceToken(SECRET, () => START).current();
    const { payload, protectedHeader } = await jwtVerify(token, new TextEncoder().encode(SECRET), {
      issuer: 'cloudphone-platform',
      audience: 'internal-services',
      currentDate: new Date(START),
    });
    expect(protectedHeader.alg).toBe('HS256');
    expect(payload).toMatchObject({ service: 'device-service', iat: START / 1000, exp: START / 1000 + 3600 });
  });

  test('stays the same until five minutes before its end, then is another', async () => {
    let now = START;
    const tokens = createServiceToken(SECRET, () => now);
    const first = await tokens.current();
    now = START + (3600 - 301) * 1000;
    expect(await tokens.current()).toBe(first);
    now += 1000;
    expect(await tokens.current()).not.toBe(first);
  });
});
