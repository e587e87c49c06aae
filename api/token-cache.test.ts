import { describe, expect, test } from '@jest/globals';
import type { Caller } from './caller.ts';
import { createTokenCache } from './token-cache.ts';

const caller = (id: string): Caller => ({ role: 'user', id, key: `user:${id}`, tenantId: null, tier: null });

describe('the token cache', () => {
  test('knows a token until it expires', () => {
    let now = 1_000_000;
    const cache = createTokenCache(10, () => now);
    cache.keep('a', caller('ann'), 1_010);
    expect(cache.find('a')).toEqual(caller('ann'));
    now = 1_010_000;
    expect(cache.find('a')).toBeUndefined();
    expect(cache.find('b')).toBeUndefined();
  });

  test('asks again for a token without expiry after ten minutes', () => {
    let now = 0;
    const cache = createTokenCache(10, () => now);
    cache.keep('a', caller('ann'), undefined);
    now = 10 * 60_000 - 1;
    expect(cache.find('a')).toBeDefined();
    now += 1;
    expect(cache.find('a')).toBeUndefined();
  });

  test('forgets what was not used for longest', () => {
    const cache = createTokenCache(2, () => 0);
    for (const name of ['a', 'b']) cache.keep(name, caller(name), undefined);
    cache.find('a');
    cache.keep('c', caller('c'), undefined);
    expect([cache.find('a'), cache.find('b'), cache.find('c')].map((found) => found?.id)).toEqual(['a', undefined, 'c']);
  });
});
