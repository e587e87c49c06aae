import { describe, expect, it } from '@jest/globals';
import { decideRelease, type ReleaseFacts } from './decide-release.ts';

const facts: ReleaseFacts = { allocationId: 'a', deviceId: 'd', userId: 'u', tenantId: 't', currentFence: 5, ended: null };
const anybody = { userId: null, tenantId: null, fence: undefined, endReason: 'released' as const };

describe('a release', () => {
  it('ends a live allocation of the holder, of a tenant of its administrator, and of anybody for a service', () => {
    for (const who of [anybody, { ...anybody, userId: 'u' }, { ...anybody, tenantId: 't' }, { ...anybody, fence: 5 }]) {
      expect(decideRelease(who, facts)).toEqual({ kind: 'end' });
    }
  });

  it('finds nothing where there is nothing, or what belongs to others', () => {
    const notFound = { kind: 'refused', code: 'ALLOCATION_NOT_FOUND' };
    expect(decideRelease(anybody, undefined)).toEqual(notFound);
    expect(decideRelease({ ...anybody, userId: 'other' }, facts)).toEqual(notFound);
    expect(decideRelease({ ...anybody, tenantId: 'other' }, facts)).toEqual(notFound);
  });

  it('is refused with a fence of an older lease', () => {
    expect(decideRelease({ ...anybody, fence: 4 }, facts)).toEqual({
      kind: 'refused',
      code: 'STALE_FENCE',
      details: { fence: 4, current: 5 },
    });
  });

  it('gives the same answer again after the end', () => {
    const ended = { durationSeconds: 7, endReason: 'expired' as const };
    expect(decideRelease(anybody, { ...facts, ended })).toEqual({ kind: 'ended-before', ...ended });
  });
});
