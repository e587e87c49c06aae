import { expect, test } from '@jest/globals';
import { SchedulerError } from '../../shared/errors.ts';
import { createLogger } from '../../shared/logger.ts';
import { eventually } from '../../tests/support/eventually.ts';
import { createLiveHub } from './live-hub.ts';

const logger = createLogger('test', 'silent');
const HOUR_MS = 3_600_000;

test('whoever comes later is told what has not changed, at once or when it has been read again', async () => {
  let time = 0;
  const hub = createLiveHub([{ name: 'same', everyMs: HOUR_MS, read: async () => 1 }], logger, () => time);
  const heardBy = () => {
    const heard: string[] = [];
    return { heard, leave: hub.watch((message) => heard.push(message)) };
  };
  const told = ['event: same\ndata: 1\n\n'];
  const first = heardBy();
  await eventually(() => expect(first.heard).toEqual(told));
  const second = heardBy();
  expect(second.heard).toEqual(told);
  time += 31_000;
  const third = heardBy();
  expect(third.heard).toEqual([]);
  await eventually(() => expect(third.heard).toEqual(told));
  for (const { leave } of [first, second, third]) leave();
  time += 31_000;
  const fourth = heardBy();
  await eventually(() => expect(fourth.heard).toEqual(told));
  await hub.close();
});

test.each([
  [new SchedulerError('STORE_UNAVAILABLE', { messages: ['Postgres is away.'] }), 'Postgres is away.'],
  [new Error('SELECT secret FROM devices'), 'It cannot be read now.'],
])('a part that cannot be read says so in words of ours: %s', async (thrown, message) => {
  const hub = createLiveHub([{ name: 'broken', everyMs: HOUR_MS, read: () => Promise.reject(thrown) }], logger);
  const heard: string[] = [];
  hub.watch((each) => heard.push(each));
  await eventually(() => expect(heard).toEqual([`event: problem\ndata: ${JSON.stringify({ part: 'broken', message })}\n\n`]));
  await hub.close();
});
