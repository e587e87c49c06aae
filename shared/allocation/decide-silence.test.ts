import { describe, expect, test } from '@jest/globals';
import { decideSilence } from './decide-silence.ts';

const at = (seconds: number) => new Date(seconds * 1_000);
const signs = { allocatedAt: at(1_000), lastHeartbeatAt: at(1_100), heartbeatSeconds: 30 };

describe('a holder', () => {
  test('is lost when the last sign is older than agreed and the grace, and not a moment earlier', () => {
    expect(decideSilence(signs, at(0), 10, at(1_139.999))).toEqual({ kind: 'look-again', at: at(1_140) });
    expect(decideSilence(signs, at(0), 10, at(1_140))).toEqual({ kind: 'lost' });
  });

  test('who never gave a sign has the time from the start of the allocation', () => {
    const never = { ...signs, lastHeartbeatAt: null };
    expect(decideSilence(never, at(0), 0, at(1_029))).toEqual({ kind: 'look-again', at: at(1_030) });
    expect(decideSilence(never, at(0), 0, at(1_030))).toEqual({ kind: 'lost' });
  });

  test('has the whole time anew once we can hear again', () => {
    expect(decideSilence(signs, at(5_000), 10, at(5_039))).toEqual({ kind: 'look-again', at: at(5_040) });
    expect(decideSilence(signs, at(5_000), 10, at(5_040))).toEqual({ kind: 'lost' });
  });
});
