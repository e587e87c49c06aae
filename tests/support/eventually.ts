import { setTimeout as pause } from 'node:timers/promises';

/**
 * Asks again and again until the question no longer throws, and gives its answer. For what has no signal to wait for.
 *
 * @param question    throws (an `expect` does) while the answer is not there yet
 * @param deadlineMs  after this long the last error is thrown
 * @param everyMs     pause between two questions
 */
export async function eventually<T>(question: () => T | Promise<T>, deadlineMs = 15_000, everyMs = 10): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    try {
      return await question();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await pause(everyMs);
  }
}
