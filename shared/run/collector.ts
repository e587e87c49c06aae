import { SchedulerError } from '../errors.ts';

interface Waiting<I, O> {
  readonly item: I;
  readonly resolve: (outcome: O) => void;
  readonly reject: (error: unknown) => void;
}

export interface CollectorOptions<I, O> {
  /** Most items of one group. */
  readonly maxSize: number;
  /** Groups worked on at once. */
  readonly maxParallel: number;
  /** Works on a group; answers in the order of the items. */
  readonly run: (items: I[]) => Promise<O[]>;
  /** Whether the fault of a group may be that of one item: the items are then run one by one. Left out: never. */
  readonly isOfOne?: (error: unknown) => boolean;
  readonly onGroup?: (size: number, seconds: number) => void;
}

export interface Collector<I, O> {
  /** Resolves with the item's own answer; rejects if its group fails as a whole, or the item where it is run by itself. */
  submit(item: I): Promise<O>;
  /** Resolves when nothing is waiting or running. */
  drain(): Promise<void>;
}

/**
 * Gathers single items into groups without a timer: an idle collector starts at once, a busy one gathers what arrives
 * while `maxParallel` groups run. So a lone item never waits for company, and groups grow exactly as load does.
 */
export function createCollector<I, O>({ maxSize, maxParallel, run, isOfOne, onGroup }: CollectorOptions<I, O>): Collector<I, O> {
  let waiting: Waiting<I, O>[] = [];
  let running = 0;
  let flushing = false;
  let idle: (() => void)[] = [];

  function submit(item: I): Promise<O> {
    return new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      flushSoon();
    });
  }

  // Not at once: what is submitted in the same turn of the event loop belongs together.
  function flushSoon(): void {
    if (flushing || running >= maxParallel) return;
    flushing = true;
    setImmediate(() => {
      flushing = false;
      flush();
    });
  }

  function flush(): void {
    while (running < maxParallel && waiting.length > 0) {
      const group = waiting.slice(0, maxSize);
      waiting = waiting.slice(maxSize);
      running += 1;
      void work(group);
    }
  }

  async function work(group: readonly Waiting<I, O>[]): Promise<void> {
    const began = performance.now();
    try {
      answer(group, await run(group.map(({ item }) => item)));
    } catch (error) {
      if (group.length > 1 && isOfOne?.(error) === true) for (const one of group) await runAlone(one);
      else for (const { reject } of group) reject(error);
    } finally {
      running -= 1;
      onGroup?.(group.length, (performance.now() - began) / 1_000);
      if (waiting.length > 0) flushSoon();
      else if (running === 0) wakeDrainers();
    }
  }

  async function runAlone(one: Waiting<I, O>): Promise<void> {
    try {
      answer([one], await run([one.item]));
    } catch (error) {
      one.reject(error);
    }
  }

  function answer(group: readonly Waiting<I, O>[], outcomes: readonly O[]): void {
    if (outcomes.length !== group.length) {
      throw new SchedulerError('INTERNAL', { messages: [`a group of ${group.length} got ${outcomes.length} answers`] });
    }
    for (const [index, outcome] of outcomes.entries()) group[index]?.resolve(outcome);
  }

  function wakeDrainers(): void {
    const drainers = idle;
    idle = [];
    for (const drained of drainers) drained();
  }

  function drain(): Promise<void> {
    if (running === 0 && waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => idle.push(resolve));
  }

  return { submit, drain };
}
