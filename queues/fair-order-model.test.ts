import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  AGEING,
  createFairModel,
  type FairModel,
  type FairNumbers,
  type FairRequest,
  HEAD,
  type Level,
  MAX_TAG,
  type Place,
} from './fair-order-model.ts';

/** Small enough that bounds are reached within a short run. */
const SMALL: FairNumbers = { head: 4, ageing: 1 / 4 };
const LEVELS: readonly Level[] = [0, 1, 2, 3];

interface Waiting extends FairRequest, Place {
  readonly arrival: number;
  readonly virtualAtArrival: number;
  readonly takenAtArrival: number;
}

/** What BullMQ does with the tags: the smallest first, equal ones in the order they came. */
function createLine(model: FairModel) {
  const waiting: Waiting[] = [];
  const served: Waiting[] = [];
  let arrivals = 0;
  return {
    served,
    waiting,
    arrive: (request: FairRequest) => {
      const virtualAtArrival = model.virtualTime();
      const [place] = model.place([request]);
      if (place !== undefined) waiting.push({ ...request, ...place, arrival: arrivals++, virtualAtArrival, takenAtArrival: served.length });
    },
    take: () => {
      const next = waiting.reduce<Waiting | undefined>(
        (best, each) => (best === undefined || each.tag < best.tag ? each : best),
        undefined,
      );
      if (next === undefined) return undefined;
      waiting.splice(waiting.indexOf(next), 1);
      served.push(next);
      model.advance(next.fairStart, 1);
      return next;
    },
  };
}

const request = fc.record({ flow: fc.constantFrom('a', 'b', 'c', 'd', 'e'), level: fc.constantFrom(...LEVELS) });
const history = fc.array(fc.oneof({ weight: 3, arbitrary: request }, { weight: 2, arbitrary: fc.constant('take' as const) }), {
  maxLength: 300,
});

function play(steps: readonly (FairRequest | 'take')[], numbers: FairNumbers) {
  const line = createLine(createFairModel(numbers));
  for (const step of steps) {
    if (step === 'take') line.take();
    else line.arrive(step);
  }
  while (line.take() !== undefined);
  return line.served;
}

describe('the fair order, whatever comes', () => {
  test('keeps every tag within the priorities of BullMQ', () => {
    fc.assert(
      fc.property(history, fc.double({ min: 0, max: 4_000_000, noNaN: true }), (steps, reported) => {
        const model = createFairModel();
        model.advance(reported, 1);
        const tags = model.place(steps.filter((step) => step !== 'take')).map(({ tag }) => tag);
        expect(tags.every((tag) => Number.isInteger(tag) && tag >= 1 && tag <= MAX_TAG)).toBe(true);
      }),
    );
  });

  test('serves everybody once', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const served = play(steps, SMALL).map(({ arrival }) => arrival);
        expect(served.toSorted((a, b) => a - b)).toEqual(steps.filter((step) => step !== 'take').map((_, index) => index));
      }),
    );
  });

  test('serves a flow in the order it came', () => {
    fc.assert(
      fc.property(history, (steps) => {
        for (const same of Map.groupBy(play(steps, SMALL), ({ flow, level }) => `${flow}${level}`).values()) {
          const arrivals = same.map(({ arrival }) => arrival);
          expect(arrivals).toEqual(arrivals.toSorted((a, b) => a - b));
        }
      }),
    );
  });

  test('lets nobody past a request once the bound of requests was taken after it came', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const served = play(steps, SMALL);
        for (const [position, late] of served.entries()) {
          for (const early of served.slice(position + 1)) {
            if (early.arrival > late.arrival) continue;
            const ahead = Math.max(0, late.level - early.level);
            const bound = (early.fairStart - early.virtualAtArrival + SMALL.head * ahead + 1) / SMALL.ageing;
            expect(late.takenAtArrival - early.takenAtArrival).toBeLessThanOrEqual(bound);
          }
        }
      }),
    );
  });

  test('gives a newcomer its turns among any number of floods', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 1, max: 10 }),
        (floods, before, asked) => {
          const line = createLine(createFairModel());
          for (let each = 0; each < 60; each++)
            for (let flood = 0; flood < floods; flood++) line.arrive({ flow: `flood-${flood}`, level: 0 });
          for (let taken = 0; taken < before; taken++) line.take();
          const from = line.served.length;
          for (let each = 0; each < asked; each++) line.arrive({ flow: 'newcomer', level: 0 });
          while (line.take() !== undefined);
          const last = line.served.findLastIndex(({ flow }) => flow === 'newcomer') + 1 - from;
          const drift = floods * (1 + AGEING * from);
          expect(last).toBeLessThanOrEqual((floods + 1) * asked + drift);
        },
      ),
    );
  });
});

describe('the fair order, in the cases that matter', () => {
  test('serves the other tenant in turn with a flood', () => {
    const line = createLine(createFairModel());
    for (let each = 0; each < 500; each++) line.arrive({ flow: 'flood', level: 0 });
    for (let each = 0; each < 10; each++) line.arrive({ flow: 'other', level: 0 });
    const first = Array.from({ length: 20 }, () => line.take()?.flow);
    expect(first.filter((flow) => flow === 'other')).toHaveLength(10);
  });

  test('serves a higher level of a tenant before its waiting lower ones', () => {
    const line = createLine(createFairModel());
    for (let each = 0; each < 100; each++) line.arrive({ flow: 'tenant', level: 0 });
    for (let each = 0; each < 200; each++) line.arrive({ flow: 'tenant', level: 1 });
    for (let each = 0; each < 200; each++) line.arrive({ flow: 'tenant', level: 2 });
    const levels = Array.from({ length: 500 }, () => line.take()?.level ?? -1);
    expect(levels).toEqual(levels.toSorted((a, b) => b - a));
  });

  test('charges lower levels of a tenant for its higher ones', () => {
    const line = createLine(createFairModel(SMALL));
    for (let each = 0; each < 400; each++) line.arrive({ flow: 'greedy', level: each < 200 ? 1 : 0 });
    for (let each = 0; each < 200; each++) line.arrive({ flow: 'modest', level: 0 });
    const first = Array.from({ length: 300 }, () => line.take()?.flow);
    // Without the charge the two levels would be two flows, and the greedy tenant would get two turns in three.
    expect(first.filter((flow) => flow === 'modest').length).toBeGreaterThan(140);
  });

  test('serves a low level in the end, whatever stream of new tenants of the highest level comes', () => {
    const line = createLine(createFairModel());
    line.arrive({ flow: 'low', level: 0 });
    const bound = (3 * HEAD + 1) / AGEING + 1;
    let taken = 0;
    do {
      line.arrive({ flow: `new-${taken}`, level: 3 });
      taken += 1;
    } while (line.take()?.flow !== 'low');
    expect(taken).toBeLessThanOrEqual(bound);
    // The bound is not generous: it takes about that long.
    expect(taken).toBeGreaterThan(bound * 0.9);
  });

  test('would starve a low level without ageing', () => {
    const line = createLine(createFairModel({ head: HEAD, ageing: 0 }));
    line.arrive({ flow: 'low', level: 0 });
    for (let taken = 0; taken < 60_000; taken++) {
      line.arrive({ flow: `new-${taken}`, level: 3 });
      line.take();
    }
    expect(line.waiting.map(({ flow }) => flow)).toEqual(['low']);
  });
});
