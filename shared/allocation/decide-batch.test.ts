import { describe, expect, test } from '@jest/globals';
import { decideBatch } from './decide-batch.ts';
import type { Decision } from './plan-group.ts';

const device = { id: 'd', name: 'd', status: 'running', fence: 0, resourceScore: 1, cpuCores: 1, memoryMB: 1, storageMB: 1 };
const granted: Decision = { kind: 'granted', device, quotaUnchecked: false, balanceUnchecked: false };
const refused: Decision = { kind: 'refused', refusal: { code: 'NO_DEVICE_AVAILABLE', reason: 'busy' } };
const contended: Decision = { kind: 'contended' };
const settled: Decision = { kind: 'settled' };

function decided(decisions: readonly Decision[], rule: { atomic: boolean; continueOnError: boolean }): string[] {
  const order = decisions.map((_, index) => `r${index}`);
  const result = decideBatch(order, new Map(decisions.map((decision, index) => [`r${index}`, decision])), rule);
  return order.map((id) => {
    const decision = result.get(id);
    return decision?.kind === 'refused' ? decision.refusal.code : (decision?.kind ?? 'nothing');
  });
}

describe('a batch', () => {
  test('that goes on after a failure leaves each request its own decision', () => {
    const rule = { atomic: false, continueOnError: true };
    expect(decided([granted, refused, contended, granted], rule)).toEqual(['granted', 'NO_DEVICE_AVAILABLE', 'contended', 'granted']);
  });

  test('that stops at the first failure keeps what came before it and aborts what comes after', () => {
    const rule = { atomic: false, continueOnError: false };
    expect(decided([granted, refused, granted, refused], rule)).toEqual([
      'granted',
      'NO_DEVICE_AVAILABLE',
      'BATCH_ABORTED',
      'NO_DEVICE_AVAILABLE',
    ]);
    expect(decided([granted, contended, granted, refused], rule)).toEqual(['granted', 'contended', 'contended', 'contended']);
    expect(decided([granted, refused, contended], rule)).toEqual(['granted', 'NO_DEVICE_AVAILABLE', 'BATCH_ABORTED']);
  });

  test('that is atomic grants all, aborts all, or decides nothing yet', () => {
    const rule = { atomic: true, continueOnError: true };
    expect(decided([granted, granted], rule)).toEqual(['granted', 'granted']);
    expect(decided([granted, refused, contended], rule)).toEqual(['BATCH_ABORTED', 'NO_DEVICE_AVAILABLE', 'BATCH_ABORTED']);
    expect(decided([granted, contended], rule)).toEqual(['contended', 'contended']);
    expect(decided([settled, settled], rule)).toEqual(['settled', 'settled']);
  });
});
