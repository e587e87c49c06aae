import { readBreakerBoard } from '../../shared/clients/breaker-board.ts';
import { readCacheUse } from '../../shared/run/cache-use.ts';
import { readAudit } from '../../shared/store/audit.ts';
import { listDeadLetters } from '../../shared/store/dead-letters.ts';
import { readLive } from '../../shared/store/live-view.ts';
import { readNextReservations } from '../../shared/store/next-reservations.ts';
import { readStatsHistory } from '../../shared/store/stats-history.ts';
import { listStrategies } from '../../shared/store/strategies.ts';
import { readWaitingTiers } from '../../shared/store/waiting-view.ts';
import type { DashboardDeps } from '../deps.ts';
import { listJobs } from '../jobs.ts';
import { redact } from '../redact.ts';
import { summarise } from '../summary.ts';
import type { FleetMap } from './fleet-map.ts';
import type { LivePart } from './live-hub.ts';
import { createMinuteSeries } from './minute-series.ts';

const SECOND = 1_000;
const ENDING = 12;
const DEAD = 20;
const RESERVATIONS = 60;
const STRATEGIES = 50;
const HOURS = 7 * 24;
const CHANGES = 15;

/** Everything the page shows, and how often it is looked at. */
export function liveParts(deps: DashboardDeps, map: FleetMap): readonly LivePart[] {
  const { store, redis, prefix, queues } = deps;
  const minutes = createMinuteSeries(store);
  const part = (name: string, everyMs: number, read: () => Promise<unknown>): LivePart => ({ name, everyMs, read });
  return [
    part('fleet', SECOND, () => map.read()),
    part('live', SECOND, () => readLive(store, ENDING)),
    part('waiting', SECOND, () => readWaitingTiers(store)),
    part('minutes', SECOND, () => minutes()),
    part('queues', SECOND, () => summarise(queues)),
    part('jobs', SECOND, async () => redact(await listJobs(deps))),
    part('health', 2 * SECOND, async () => ({
      neighbours: await readBreakerBoard(redis, prefix),
      caches: await readCacheUse(redis, prefix),
    })),
    part('dead', 2 * SECOND, () => readDead(deps)),
    part('changes', 2 * SECOND, async () => redact(await readAudit(store, CHANGES))),
    part('reservations', 5 * SECOND, () => readNextReservations(store, RESERVATIONS)),
    part('strategies', 5 * SECOND, async () => (await listStrategies(store, STRATEGIES)).items),
    part('history', 60 * SECOND, () => readStatsHistory(store, HOURS)),
  ];
}

async function readDead({ store }: DashboardDeps): Promise<unknown> {
  const { items, total } = await listDeadLetters(store, undefined, { kind: 'all' }, DEAD, undefined);
  return { total, items: items.map((item) => ({ ...item, lastError: redact(item.lastError) })) };
}
