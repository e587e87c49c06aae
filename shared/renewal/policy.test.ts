import { describe, expect, test } from '@jest/globals';
import { RENEWAL_POLICIES, renewalPolicies } from './policy.ts';

describe('the policies of a configuration', () => {
  test('are the usual ones where nothing is said', () => {
    expect(renewalPolicies('')).toEqual({ policies: RENEWAL_POLICIES });
    expect(renewalPolicies('{}')).toEqual({ policies: RENEWAL_POLICIES });
  });

  test('differ in what is said and in nothing else; null is no limit', () => {
    expect(renewalPolicies('{"free":{"maxCount":9,"maxTotalMinutes":null}}')).toEqual({
      policies: { ...RENEWAL_POLICIES, free: { ...RENEWAL_POLICIES.free, maxCount: 9, maxTotalMinutes: Infinity } },
    });
  });

  test.each([
    ['not JSON', 'free'],
    ['a list', '[]'],
    ['an unknown tier', '{"gold":{}}'],
    ['an unknown limit', '{"free":{"maxcount":1}}'],
    ['a negative limit', '{"free":{"cooldownSeconds":-1}}'],
    ['no minutes at all', '{"free":{"maxMinutesEach":0}}'],
    ['a text for a number', '{"free":{"maxCount":"3"}}'],
  ])('are refused when they are %s', (_name, text) => {
    expect(renewalPolicies(text)).toEqual({ problems: [expect.any(String)] });
  });

  test('are refused by the name of what is wrong', () => {
    expect(renewalPolicies('{"free":{"maxCount":-1}}')).toEqual({ problems: [expect.stringContaining('free.maxCount')] });
  });
});
