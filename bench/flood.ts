import { readEnvironment } from '../shared/config-files.ts';
import { openPlace, PREFIX } from './place.ts';
import { type FloodResult, runFlood } from './run-flood.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { spreadOf } from './spread.ts';

const EVENTS = 100_000;
const QUICK_EVENTS = 5_000;
const DEVICES = 5_000;
const LISTENERS = 2;
/** Some 30 MB of it live; V8 lets 130 MB of garbage gather where there is much memory. */
const MOST_MB = 350;
/** What may wait in Redis, and what two listeners may have in hand on top of it: 200 of each of four queues. */
const MOST_WAITING = 10_000 + LISTENERS * 800;

/** `flood`: a hundred thousand events at once. What is not kept in Redis waits in RabbitMQ, which has disks for it. */
export const flood: Scenario = {
  name: 'flood',
  about: `${EVENTS} events of other services at once, one in ten of them a repeat, into ${LISTENERS} listeners`,
  run: async ({ rounds, quick, servers, say }: BenchRun): Promise<Figure[]> => {
    const count = quick ? QUICK_EVENTS : EVENTS;
    const place = await openPlace(servers, say);
    const results: FloodResult[] = [];
    try {
      for (let round = 1; round <= rounds; round += 1) {
        await place.renew(DEVICES);
        const { redisUrl, rabbitmqUrl } = servers;
        const env = { ...readEnvironment(), NODE_ENV: 'development' };
        const result = await runFlood(count, {
          ...{ redisUrl, rabbitmqUrl, env, prefix: PREFIX, listeners: LISTENERS },
          databaseUrl: place.databaseUrl,
        });
        if (result.wrong.length > 0) throw new Error(`not each event had its effect once: ${result.wrong.join('; ')}`);
        say(
          `round ${round}/${rounds}  ${count} events in ${result.seconds.toFixed(1)} s, ${result.mostResident.toFixed(0)} MB, ${result.mostWaiting} waited`,
        );
        results.push(result);
      }
    } finally {
      await place.close();
    }
    return figuresOf(count, results);
  },
};

function figuresOf(count: number, results: readonly FloodResult[]): Figure[] {
  const of = (field: 'seconds' | 'perSecond' | 'mostResident' | 'mostWaiting') => spreadOf(results.map((result) => result[field]));
  const [resident, waiting] = [of('mostResident'), of('mostWaiting')];
  return [
    { measure: `${count} events`, unit: 's', ours: of('seconds') },
    { measure: 'events', unit: '/s', ours: of('perSecond') },
    { measure: 'most memory of a listener', unit: 'MB', ours: resident, goal: { text: `≤ ${MOST_MB} MB`, met: resident.max <= MOST_MB } },
    { measure: 'most waiting in Redis', unit: '', ours: waiting, goal: { text: `≤ ${MOST_WAITING}`, met: waiting.max <= MOST_WAITING } },
  ];
}
