import { describe, expect, test } from '@jest/globals';
import { askedAllocation } from './allocation/asked.ts';
import { consumedAction } from './consumed/action.ts';
import { readTolerantly } from './read-tolerantly.ts';

describe('what another version wrote', () => {
  test('is read without the fields nobody knows, at any depth', () => {
    const newer = { durationMinutes: 30, colour: 'red', preferredSpecs: { minCpu: 2, minGpu: 1 }, devicePreferences: { shape: 'fold' } };
    expect(readTolerantly(askedAllocation, newer)).toMatchObject({
      success: true,
      data: { durationMinutes: 30, preferredSpecs: { minCpu: 2 }, devicePreferences: {} },
    });
    expect(newer).toHaveProperty('preferredSpecs.minGpu');
  });

  test('is refused for what is wrong with it besides', () => {
    const { success } = readTolerantly(askedAllocation, { durationMinutes: 'for ever', colour: 'red' });
    expect(success).toBe(false);
    for (const data of [null, undefined, 'text', 7, []]) expect(readTolerantly(askedAllocation, data).success).toBe(false);
    expect(readTolerantly(consumedAction, { action: 'paint-device' }).success).toBe(false);
  });
});

describe('a job of before', () => {
  test('that takes a device out is a change of its status', () => {
    const deviceId = '0b0e7a52-6f0f-4c52-8a53-1f6b7f6f0001';
    const said = { action: 'take-device-out', deviceId: deviceId.toUpperCase(), status: 'maintenance', endReason: 'device_maintenance' };
    expect(readTolerantly(consumedAction, said)).toEqual({
      success: true,
      data: { action: 'set-device-status', deviceId, status: 'maintenance' },
    });
  });
});
