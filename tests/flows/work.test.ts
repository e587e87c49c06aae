import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Queue, UnrecoverableError } from 'bullmq';
import { z } from 'zod';
import { checked, type JobContext } from '../../shared/run/queue-worker.ts';
import { eventually } from '../support/eventually.ts';
import { metricValue, openQueueBench, type QueueBench } from '../support/queue-bench.ts';

let bench: QueueBench;
let queue: Queue;

beforeEach(async () => {
  bench = await openQueueBench();
  queue = new Queue('allocate', { connection: bench.redis, prefix: bench.prefix });
});

afterEach(async () => {
  await queue.close();
  await bench.close();
});

const RETRIED = { attempts: 3, backoff: { type: 'fixed', delay: 1 } };
const add = async (name: string, data: unknown, options = {}) => (await queue.add(name, data, options)).id ?? '';
const jobOf = (id: string) => queue.getJob(id);
const settled = (id: string) =>
  eventually(async () => {
    const state = await queue.getJobState(id);
    expect(['completed', 'failed']).toContain(state);
    return state;
  });

describe('a queue worker', () => {
  test('gives a job to the handler of its name and keeps the answer', async () => {
    const seen: unknown[] = [];
    const worker = bench.work({
      greet: (data, { id, name, attempt, signal }: JobContext) => {
        seen.push([data, id, name, attempt, signal.aborted]);
        return Promise.resolve({ hello: data });
      },
    });
    const id = await add('greet', 'world');
    expect(await settled(id)).toBe('completed');
    expect(await jobOf(id)).toMatchObject({ returnvalue: { hello: 'world' } });
    expect(seen).toEqual([['world', id, 'greet', 1, false]]);
    expect(worker.healthy()).toBe(true);
    expect(await metricValue(bench.metrics, 'scheduler_job_seconds', { outcome: 'completed' })).toBe(1);
  });

  test('notes on a job why an attempt failed, and where it is noted what became of it', async () => {
    const shaky = (_data: unknown, { attempt }: JobContext) =>
      attempt === 1 ? Promise.reject(new Error('down')) : Promise.resolve({ made: 3 });
    const worker = bench.work({ shaky });
    const id = await add('shaky', {}, RETRIED);
    await settled(id);
    await worker.close();
    expect((await queue.getJobLogs(id)).logs).toEqual([expect.stringMatching(/^attempt 1 failed after \d+ ms: down$/)]);
    bench.work({ shaky }, { noted: true });
    const noted = await add('shaky', {}, RETRIED);
    await settled(noted);
    const done = expect.stringMatching(/^done after \d+ ms: {"made":3}$/);
    const failed = expect.stringMatching(/^attempt 1 failed/);
    expect((await queue.getJobLogs(noted)).logs).toEqual(['attempt 1 has begun', failed, 'attempt 2 has begun', done]);
    expect((await jobOf(noted))?.progress).toBe(100);
  });

  test('tries a fault again, and no longer than the attempts of the job', async () => {
    const attempts: number[] = [];
    bench.work({
      shaky: (_data, { attempt }) => {
        attempts.push(attempt);
        return Promise.reject(new Error('down'));
      },
    });
    expect(await settled(await add('shaky', {}, RETRIED))).toBe('failed');
    expect(attempts).toEqual([1, 2, 3]);
    expect(await metricValue(bench.metrics, 'scheduler_job_seconds', { outcome: 'failed' })).toBe(3);
  });

  test.each([
    ['a payload that does not fit', 'strict', { count: 'many' }, /payload is not valid/],
    ['a name nobody handles', 'unheard-of', { count: 1 }, /no handler for a job named "unheard-of"/],
    ['the name of something every object has', 'toString', { count: 1 }, /no handler/],
    ['what the handler calls hopeless', 'hopeless', { count: 1 }, /never/],
  ])('fails %s for good, without another attempt', async (_what, name, data, reason) => {
    bench.work({
      strict: checked(z.object({ count: z.number() }), () => Promise.resolve()),
      hopeless: () => Promise.reject(new UnrecoverableError('never')),
    });
    const id = await add(name, data, RETRIED);
    expect(await settled(id)).toBe('failed');
    expect(await jobOf(id)).toMatchObject({ attemptsMade: 1, failedReason: expect.stringMatching(reason) });
  });

  test('fails a job whose words Redis has lost', async () => {
    const id = await add('strict', { count: 1 }, RETRIED);
    await bench.redis.hdel(`${bench.prefix}:allocate:${id}`, 'name', 'data', 'opts');
    bench.work({ strict: checked(z.object({ count: z.number() }), () => Promise.resolve('done with nothing')) });
    expect(await settled(id)).toBe('failed');
  });

  test('fails a job at its deadline, and aborts its signal, even if the handler does not listen', async () => {
    const reasons: unknown[] = [];
    let late: (value: string) => void = () => undefined;
    bench.work(
      {
        slow: (_data, { signal }) => {
          signal.addEventListener('abort', () => reasons.push(signal.reason));
          return new Promise((resolve) => {
            late = resolve;
          });
        },
      },
      { deadlineMs: 100 },
    );
    const id = await add('slow', {});
    expect(await settled(id)).toBe('failed');
    expect(await jobOf(id)).toMatchObject({ failedReason: 'the job took longer than 100 ms' });
    expect(reasons).toEqual([new Error('the job took longer than 100 ms')]);
    late('nobody waits for this');
  });

  test('finishes what it has begun before it closes, and begins nothing more', async () => {
    let finish: () => void = () => undefined;
    const begun: unknown[] = [];
    const worker = bench.work(
      {
        slow: (data) => {
          begun.push(data);
          return new Promise<void>((resolve) => {
            finish = resolve;
          });
        },
      },
      { concurrency: 1 },
    );
    const [first, second] = [await add('slow', 1), await add('slow', 2)];
    await eventually(() => expect(begun).toEqual([1]));
    expect(worker.running()).toBe(1);
    const closing = worker.close();
    finish();
    await closing;
    expect(await queue.getJobState(first)).toBe('completed');
    expect(await queue.getJobState(second)).toBe('waiting');
    expect([begun, worker.running()]).toEqual([[1], 0]);
  });

  test('hands back a job that does not finish in time when it closes', async () => {
    const signals: AbortSignal[] = [];
    const worker = bench.work(
      {
        stuck: (_data, { signal }) => {
          signals.push(signal);
          return new Promise(() => undefined);
        },
      },
      { closeTimeoutMs: 100 },
    );
    const id = await add('stuck', {}, RETRIED);
    await eventually(() => expect(signals).toHaveLength(1));
    await worker.close();
    expect(await queue.getJobState(id)).not.toBe('active');
    expect(signals[0]?.aborted).toBe(true);
    expect(worker.healthy()).toBe(false);
  });

  test('tells a handler that asks late that its job is given up', async () => {
    const contexts: JobContext[] = [];
    bench.work(
      {
        stuck: (_data, context) => {
          contexts.push(context);
          return new Promise(() => undefined);
        },
      },
      { deadlineMs: 50 },
    );
    expect(await settled(await add('stuck', {}))).toBe('failed');
    expect(contexts[0]?.signal.aborted).toBe(true);
  });
});
