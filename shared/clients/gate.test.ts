import { describe, expect, test } from '@jest/globals';
import { createGate } from './gate.ts';

const LONG = 60_000;

describe('the gate', () => {
  test('lets in as many as it has places and the next when one leaves, in order', async () => {
    const gate = createGate(2);
    expect(await Promise.all([gate.enter(LONG), gate.enter(LONG)])).toEqual([true, true]);
    const order: string[] = [];
    const third = gate.enter(LONG).then((entered) => order.push(`third ${entered}`));
    const fourth = gate.enter(LONG).then((entered) => order.push(`fourth ${entered}`));
    gate.leave();
    await third;
    expect(order).toEqual(['third true']);
    gate.leave();
    await fourth;
    expect(order).toEqual(['third true', 'fourth true']);
  });

  test('sends away who waited too long, and gives the place to somebody else', async () => {
    const gate = createGate(1);
    await gate.enter(LONG);
    expect(await gate.enter(5)).toBe(false);
    gate.leave();
    expect(await gate.enter(5)).toBe(true);
  });
});
