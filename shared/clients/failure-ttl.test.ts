import { expect, test } from '@jest/globals';
import { failureTtlMs } from './failure-ttl.ts';

test('a failure is remembered for half a second, or for as long as was asked, up to five seconds', () => {
  expect(failureTtlMs(undefined)).toBe(500);
  expect(failureTtlMs(0)).toBe(500);
  expect(failureTtlMs(2_000)).toBe(2_000);
  expect(failureTtlMs(3_600_000)).toBe(5_000);
});
