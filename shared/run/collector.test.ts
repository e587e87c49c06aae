import { describe, expect, test } from '@jest/globals';
import { createCollector } from './collector.ts';

/** A run that ends when it is told to. */
function controlled() {
  const groups: number[][] = [];
  const ends: ((answers?: string[]) => void)[] = [];
  const run = (items: number[]) => {
    groups.push(items);
    return new Promise<string[]>((resolve) => ends.push((answers) => resolve(answers ?? items.map((item) => `answer ${item}`))));
  };
  return { groups, ends, run };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a collector', () => {
  test('starts at once when idle, with what came in the same turn', async () => {
    const { groups, ends, run } = controlled();
    const { submit } = createCollector({ maxSize: 10, maxParallel: 2, run });
    const answers = Promise.all([submit(1), submit(2)]);
    await turn();
    expect(groups).toEqual([[1, 2]]);
    ends[0]?.();
    expect(await answers).toEqual(['answer 1', 'answer 2']);
  });

  test('gathers while as many groups run as may, and no longer', async () => {
    const { groups, ends, run } = controlled();
    const { submit } = createCollector({ maxSize: 3, maxParallel: 2, run });
    const first = submit(1);
    await turn();
    const others = [submit(2)];
    await turn();
    others.push(submit(3), submit(4), submit(5), submit(6));
    await turn();
    expect(groups).toEqual([[1], [2]]);
    ends[0]?.();
    await first;
    await turn();
    expect(groups).toEqual([[1], [2], [3, 4, 5]]);
    ends[1]?.();
    await others[0];
    await turn();
    expect(groups).toEqual([[1], [2], [3, 4, 5], [6]]);
    ends[2]?.();
    ends[3]?.();
    expect(await Promise.all(others)).toEqual(['answer 2', 'answer 3', 'answer 4', 'answer 5', 'answer 6']);
  });

  test('splits what came in one turn by size', async () => {
    const { groups, ends, run } = controlled();
    const { submit, drain } = createCollector({ maxSize: 2, maxParallel: 5, run });
    void Promise.all([1, 2, 3].map(submit));
    await turn();
    expect(groups).toEqual([[1, 2], [3]]);
    for (const end of ends) end();
    await drain();
  });

  test('fails every item of a group that fails, and no other', async () => {
    const run = (items: number[]) => (items.includes(1) ? Promise.reject(new Error('lost')) : Promise.resolve(items));
    const { submit } = createCollector({ maxSize: 2, maxParallel: 1, run });
    const results = await Promise.allSettled([submit(1), submit(2), submit(3)]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
  });

  test('runs the items of a group one by one after a fault that may be of one, and fails that one', async () => {
    const faulty = new Error('poisoned');
    const run = (items: number[]) => (items.includes(2) ? Promise.reject(faulty) : Promise.resolve(items));
    const { submit } = createCollector({ maxSize: 3, maxParallel: 1, run, isOfOne: (error) => error === faulty });
    const results = await Promise.allSettled([submit(1), submit(2), submit(3)]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  test('fails a group that got the wrong number of answers', async () => {
    const { submit } = createCollector({ maxSize: 2, maxParallel: 1, run: () => Promise.resolve(['one']) });
    await expect(Promise.all([submit(1), submit(2)])).rejects.toThrow('a group of 2 got 1 answers');
  });

  test('tells the size and duration of each group', async () => {
    const told: [number, number][] = [];
    const { submit } = createCollector({
      maxSize: 5,
      maxParallel: 1,
      run: (items: number[]) => Promise.resolve(items),
      onGroup: (...group) => told.push(group),
    });
    await Promise.all([submit(1), submit(2)]);
    expect(told).toEqual([[2, expect.any(Number)]]);
  });

  test('is drained when nothing waits or runs', async () => {
    const { ends, run } = controlled();
    const { submit, drain } = createCollector({ maxSize: 1, maxParallel: 1, run });
    await drain();
    const answers = [submit(1), submit(2)];
    let drained = false;
    const draining = drain().then(() => {
      drained = true;
    });
    await turn();
    ends[0]?.();
    await answers[0];
    await turn();
    expect(drained).toBe(false);
    ends[1]?.();
    await draining;
    expect(await answers[1]).toBe('answer 2');
  });
});
