import { describe, expect, test } from '@jest/globals';
import { SchedulerError } from './errors.ts';
import { createLogger, REDACTED_PATHS } from './logger.ts';

const SECRET = 'do-not-show-this';

function listen(level = 'info') {
  const lines: string[] = [];
  const logger = createLogger('api', level, { write: (line) => void lines.push(line) });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') };
}

/** An object with the secret at a path such as `*.headers["x-service-token"]`. */
function objectWith(path: string): Record<string, unknown> {
  const steps = [...path.matchAll(/\["([^"]+)"\]|[^.[\]"]+/g)].map(([step, quoted]) => (quoted ?? step).replace('*', 'inner'));
  return steps.reduceRight<unknown>((inner, step) => ({ [step]: inner }), SECRET) as Record<string, unknown>;
}

describe('a log line', () => {
  test.each(REDACTED_PATHS)('never shows %s', (path) => {
    const { logger, lines } = listen();
    logger.info(objectWith(path), 'said');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('[redacted]');
    expect(lines[0]).not.toContain(SECRET);
  });

  test('shows a value at a path nobody listed, so the test above can see one', () => {
    const { logger, lines } = listen();
    logger.info(objectWith('*.harmless'), 'said');
    expect(lines[0]).toContain(SECRET);
  });

  test('is JSON with the name of the process, an ISO time, the words, and what a child knows', () => {
    const { logger, last } = listen();
    logger.child({ requestId: 'r-1' }).warn('said');
    expect(last()).toMatchObject({
      name: 'api',
      msg: 'said',
      requestId: 'r-1',
      level: 40,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    });
  });

  test.each(['err', 'error'])('shows an error under %s with the foreign one behind it', (key) => {
    const { logger, last } = listen();
    logger.error({ [key]: new SchedulerError('STORE_UNAVAILABLE', { cause: new Error('ECONNREFUSED') }) }, 'failed');
    expect(last()[key]).toMatchObject({ type: 'SchedulerError', code: 'STORE_UNAVAILABLE', cause: { message: 'ECONNREFUSED' } });
  });

  test('is not written below the level', () => {
    const { logger, lines } = listen('warn');
    logger.info('quiet');
    expect(lines).toEqual([]);
  });
});
