import { EventEmitter } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import { createLogger } from '../logger.ts';
import { createLife, type Life } from './life.ts';
import { runProcess } from './process.ts';

const logger = createLogger('test', 'silent');

/** Stands in for the process: signals are emitted, the exit is awaited. */
function createHost() {
  const emitter = new EventEmitter();
  const codes: number[] = [];
  let exited: (code: number) => void = () => undefined;
  const exit = new Promise<number>((resolve) => {
    exited = resolve;
  });
  const host = {
    on: (event: string, listener: (...details: unknown[]) => void) => emitter.on(event, listener),
    exit: (code: number) => {
      codes.push(code);
      exited(code);
    },
  };
  return { host, emitter, exit, codes };
}

const opening = (closed: string[]) => (life: Life) => {
  life.onClose('first', () => void closed.push('first'));
  life.onClose('second', () => void closed.push('second'));
  return Promise.resolve();
};

describe('a process', () => {
  test.each(['SIGTERM', 'SIGINT'])('closes in reverse order on %s and exits 0', async (signal) => {
    const { host, emitter, exit } = createHost();
    const closed: string[] = [];
    await runProcess('test', opening(closed), { shutdownTimeoutMs: 5_000, logger, host });
    emitter.emit(signal);
    expect(await exit).toBe(0);
    expect(closed).toEqual(['second', 'first']);
  });

  test('exits at once on a second signal', async () => {
    const { host, emitter, exit } = createHost();
    const start = (life: Life) => {
      life.onClose('stuck', () => new Promise(() => undefined));
      return Promise.resolve();
    };
    await runProcess('test', start, { shutdownTimeoutMs: 60_000, logger, host });
    emitter.emit('SIGTERM');
    emitter.emit('SIGTERM');
    expect(await exit).toBe(1);
  });

  test('exits 1 when closing takes too long', async () => {
    const { host, emitter, exit } = createHost();
    let closed: () => void = () => undefined;
    const start = (life: Life) => {
      life.onClose('slow', () => new Promise((resolve) => (closed = resolve)));
      return Promise.resolve();
    };
    await runProcess('test', start, { shutdownTimeoutMs: 20, logger, host });
    emitter.emit('SIGTERM');
    const stillAlive = setTimeout(() => undefined, 5_000);
    expect(await exit).toBe(1);
    clearTimeout(stillAlive);
    closed();
  });

  test('exits 1 when something cannot be closed', async () => {
    const { host, emitter, exit } = createHost();
    const start = (life: Life) => {
      life.onClose('broken', () => Promise.reject(new Error('broken')));
      return Promise.resolve();
    };
    await runProcess('test', start, { shutdownTimeoutMs: 5_000, logger, host });
    emitter.emit('SIGTERM');
    expect(await exit).toBe(1);
  });

  test('closes what was opened and exits 1 when the start fails', async () => {
    const { host, exit } = createHost();
    const closed: string[] = [];
    const start = async (life: Life) => {
      await opening(closed)(life);
      throw new Error('no database');
    };
    await runProcess('test', start, { shutdownTimeoutMs: 5_000, logger, host });
    expect(await exit).toBe(1);
    expect(closed).toEqual(['second', 'first']);
  });

  test('closes and exits 1 on an error nobody handled', async () => {
    const { host, emitter, exit } = createHost();
    const closed: string[] = [];
    await runProcess('test', opening(closed), { shutdownTimeoutMs: 5_000, logger, host });
    emitter.emit('uncaughtException', new Error('surprise'), 'uncaughtException');
    expect(await exit).toBe(1);
    expect(closed).toEqual(['second', 'first']);
  });
});

describe('a life', () => {
  test('closes everything once, even if one part fails, and keeps the first error', async () => {
    const closed: string[] = [];
    const life = createLife(logger);
    life.onClose('a', () => void closed.push('a'));
    life.onClose('b', () => Promise.reject(new Error('from b')));
    life.onClose('c', () => Promise.reject(new Error('from c')));
    expect(life.closing.aborted).toBe(false);
    const ending = life.close();
    expect(life.close()).toBe(ending);
    await expect(ending).rejects.toThrow('from c');
    expect(closed).toEqual(['a']);
    expect(life.closing.aborted).toBe(true);
  });
});
