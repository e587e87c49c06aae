import { messageOf } from '../errors.ts';
import type { ConnectionLog } from './redis.ts';

/** What is needed of a BullMQ job. */
interface NotableJob {
  readonly id?: string | undefined;
  log(text: string): Promise<unknown>;
  updateProgress(progress: number): Promise<unknown>;
}

const LONGEST = 1_000;
/** A note is not worth holding up a job for, ms. */
const PATIENCE_MS = 500;

/**
 * Writes into the log of a job, and its progress (0 to 100), what people see of it in Bull Board. A note that cannot be written in half a
 * second is given up: it says nothing the rows and the logs of the process do not say.
 */
export function createJobNotes(job: NotableJob, logger: ConnectionLog): { log(text: string, progress?: number): Promise<void> } {
  return {
    log: async (text, progress) => {
      const writing = Promise.all([
        job.log(text.slice(0, LONGEST)),
        progress === undefined ? Promise.resolve() : job.updateProgress(progress),
      ]).catch((error: unknown) => logger.warn({ jobId: job.id, reason: messageOf(error) }, 'a note on a job could not be written'));
      await atMost(PATIENCE_MS, writing);
    },
  };
}

async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, ms);
  await Promise.race([work, late.promise]);
  clearTimeout(timer);
}
