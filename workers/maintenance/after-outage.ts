import type { Logger } from '../../shared/logger.ts';
import type { RedisClient } from '../../shared/run/redis.ts';

/**
 * Does something once Redis has been back for a while: what was accepted meanwhile has no job, and is not to wait for the next tick.
 * A connection that is lost again in between is waited for anew.
 *
 * @param redis   a connection that is ready; its next `ready` is the end of an outage
 * @param waitMs  from then on, ms
 * @param work    what goes wrong with it is logged, the next tick does it
 */
export function afterOutage(
  redis: Pick<RedisClient, 'on' | 'off'>,
  waitMs: number,
  work: () => Promise<unknown>,
  logger: Logger,
): { close(): Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> = Promise.resolve();

  async function run(): Promise<void> {
    try {
      await work();
    } catch (error) {
      logger.warn({ err: error }, 'what was left by an outage of Redis could not be looked for; the next tick does it');
    }
  }

  const onReady = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      working = run();
    }, waitMs);
  };
  redis.on('ready', onReady);
  return {
    close: async () => {
      redis.off('ready', onReady);
      clearTimeout(timer);
      await working;
    },
  };
}
