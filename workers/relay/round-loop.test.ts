import { describe, expect, test } from '@jest/globals';
import { createLogger } from '../../shared/logger.ts';
import { startRoundLoop } from './round-loop.ts';
import { createWake } from './wake.ts';

const LONG = 60_000;

function loopOf(round: () => Promise<boolean>, overrides: { mayRun?: () => boolean; netMs?: number; lines?: string[] } = {}) {
  const wake = createWake();
  const logger = createLogger('test', 'info', { write: (line) => void overrides.lines?.push(JSON.parse(line).msg) });
  const { mayRun = () => true, netMs = LONG } = overrides;
  return { wake, loop: startRoundLoop({ name: 'test', logger, wake, netMs, gatherMs: 1, mayRun, round }) };
}

describe('round loop', () => {
  test('goes on at once while there is more, then waits for a wake', async () => {
    const answers = [true, true, false, false];
    const third = Promise.withResolvers<void>();
    const fourth = Promise.withResolvers<void>();
    let rounds = 0;
    const { wake, loop } = loopOf(async () => {
      rounds += 1;
      if (rounds === 3) third.resolve();
      if (rounds === 4) fourth.resolve();
      return answers[rounds - 1] ?? false;
    });
    await third.promise;
    expect(rounds).toBe(3);
    wake.ring();
    await fourth.promise;
    await loop.close();
    expect(rounds).toBe(4);
  });

  test('looks by itself when nobody wakes it', async () => {
    const second = Promise.withResolvers<void>();
    let rounds = 0;
    const round = async () => {
      rounds += 1;
      if (rounds === 2) second.resolve();
      return false;
    };
    const { loop } = loopOf(round, { netMs: 5 });
    await second.promise;
    await loop.close();
  });

  test('a round that fails is said once and tried again until it succeeds', async () => {
    const succeeded = Promise.withResolvers<void>();
    const lines: string[] = [];
    let rounds = 0;
    const round = async () => {
      rounds += 1;
      if (rounds < 4) throw new Error('database away');
      succeeded.resolve();
      return false;
    };
    const { loop } = loopOf(round, { netMs: 1, lines });
    await succeeded.promise;
    await loop.close();
    expect(lines).toEqual(['a round of the relay failed, it is tried again', 'the relay goes on']);
  });

  test('does nothing while it may not run', async () => {
    const asked = Promise.withResolvers<void>();
    let rounds = 0;
    const round = async () => {
      rounds += 1;
      return false;
    };
    const mayRun = () => {
      asked.resolve();
      return false;
    };
    const { loop } = loopOf(round, { mayRun });
    await asked.promise;
    await loop.close();
    expect(rounds).toBe(0);
  });

  test('closing waits for the round in hand', async () => {
    const begun = Promise.withResolvers<void>();
    const mayEnd = Promise.withResolvers<void>();
    let ended = false;
    const { loop } = loopOf(async () => {
      begun.resolve();
      await mayEnd.promise;
      ended = true;
      return true;
    });
    await begun.promise;
    const closing = loop.close();
    expect(ended).toBe(false);
    mayEnd.resolve();
    await closing;
    expect(ended).toBe(true);
  });
});
