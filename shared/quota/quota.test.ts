import { describe, expect, test } from '@jest/globals';
import { quotaSchema } from './quota.ts';

const LEAST = { status: 'active', limits: {} };

describe('the answer of the user-service', () => {
  test('is understood with nothing but a status and empty limits', () => {
    expect(quotaSchema.parse(LEAST)).toEqual({ status: 'active', limits: {}, validFrom: null, validUntil: null });
  });

  test('loses the fields it does not need', () => {
    const quota = quotaSchema.parse({ ...LEAST, id: 'q1', limits: { maxDevices: 3, maxApps: 9 }, colour: 'red' });
    expect(quota).not.toHaveProperty('colour');
    expect(quota.limits).toEqual({ maxDevices: 3 });
  });

  test('keeps negative and null limits, which both mean none', () => {
    expect(quotaSchema.parse({ ...LEAST, limits: { maxDevices: -1, totalCpuCores: null } }).limits).toEqual({
      maxDevices: -1,
      totalCpuCores: null,
    });
  });

  test('has its dates brought to one form', () => {
    const quota = quotaSchema.parse({ ...LEAST, validFrom: '2026-01-01T01:00:00+01:00', validUntil: null });
    expect(quota).toMatchObject({ validFrom: '2026-01-01T00:00:00.000Z', validUntil: null });
  });

  test.each([
    ['an unknown status', { ...LEAST, status: 'cheerful' }],
    ['no limits', { status: 'active' }],
    ['a limit in words', { ...LEAST, limits: { maxDevices: 'three' } }],
    ['a date that is none', { ...LEAST, validUntil: 'soon' }],
    ['no object', null],
  ])('is malformed with %s', (_what, answer) => {
    expect(quotaSchema.safeParse(answer).success).toBe(false);
  });
});
