import { expect, test } from '@jest/globals';
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
