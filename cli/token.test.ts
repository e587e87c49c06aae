import { describe, expect, test } from '@jest/globals';
import { decodeJwt, jwtVerify } from 'jose';
import { signToken } from './token.ts';

const secrets = { userSecret: 'a key for user tokens in this test only', serviceSecret: 'a key for service tokens in this test' };
const sign = (words: Parameters<typeof signToken>[0]) => signToken(words, secrets);

describe('a token from the command line', () => {
  test('for a user says who, where, which roles and which tier', async () => {
    const token = await sign({ user: 'ann', role: ['admin'], tenant: 't1', tier: 'pro', super: true, expiresIn: '60' });
    const { payload } = await jwtVerify(token, Buffer.from(secrets.userSecret), {
      audience: 'cloudphone-users',
      issuer: 'cloudphone-platform',
    });
    expect(payload).toMatchObject({ sub: 'ann', roles: ['admin'], tenantId: 't1', tier: 'pro', isSuperAdmin: true });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(60);
  });

  test('for a plain user says no more than needed', async () => {
    expect(Object.keys(decodeJwt(await sign({ user: 'ann', expiresIn: '60' }))).toSorted()).toEqual([
      'aud',
      'exp',
      'iat',
      'iss',
      'roles',
      'sub',
    ]);
  });

  test('for a service is signed with the key of services', async () => {
    const token = await sign({ service: 'gateway', expiresIn: '60' });
    const { payload } = await jwtVerify(token, Buffer.from(secrets.serviceSecret), { audience: 'internal-services' });
    expect(payload['service']).toBe('gateway');
  });

  test('is refused when the words do not fit together', async () => {
    await expect(sign({ expiresIn: '60' })).rejects.toThrow('either --user or --service');
    await expect(sign({ user: 'ann', service: 'gateway', expiresIn: '60' })).rejects.toThrow('either --user or --service');
    await expect(sign({ service: 'gateway', role: ['admin'], expiresIn: '60' })).rejects.toThrow('are for --user');
    await expect(sign({ user: 'ann', tier: 'gold', expiresIn: '60' })).rejects.toThrow('no tier gold');
    await expect(sign({ user: 'ann', expiresIn: 'soon' })).rejects.toThrow('whole number');
  });
});
