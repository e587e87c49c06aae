import { afterAll, describe, expect, test } from '@jest/globals';
import { FAULT_POINTS, type FaultPoint } from '../../shared/fault-point.ts';
import { spawnArmed } from '../support/armed-process.ts';
import { eventually } from '../support/eventually.ts';
import { readInvariants } from '../support/invariants.ts';
import { type KillBench, openKillBench } from '../support/kill-bench.ts';
import { deleteQueues, LANES, type Lane } from '../support/kill-lanes.ts';
import { problemsOf } from '../support/whole-life.ts';

const POINTS = Object.keys(FAULT_POINTS) as FaultPoint[];
const pointsOf = ({ verbs }: Lane) => POINTS.filter((point) => verbs.includes(point.split('.')[0] ?? ''));

/** What was seen of a process that was killed at this step. */
interface Row {
  readonly point: FaultPoint;
  readonly signal: string;
  readonly broken: readonly string[];
  readonly problems: readonly string[];
}

const matrix: Row[] = [];
afterAll(async () => {
  await deleteQueues();
  const mark = (wrong: readonly string[]) => (wrong.length === 0 ? 'ok' : wrong.join('; '));
  const lines = POINTS.flatMap((point) => matrix.filter((row) => row.point === point)).map(
    ({ point, signal, broken, problems }) =>
      `  ${point.padEnd(11)} ${FAULT_POINTS[point].padEnd(62)} ${signal}  invariants ${mark(broken)}  outcome ${mark(problems)}`,
  );
  process.stdout.write(`\n${lines.join('\n')}\n  ${lines.length} of ${POINTS.length} steps\n`);
});

/** Kills a process at each step of a lane in turn; another one takes over each time, and in the end all has left the house. */
async function run(lane: Lane): Promise<Row[]> {
  const bench = await openKillBench();
  try {
    const seen: Omit<Row, 'problems'>[] = [];
    for (const point of pointsOf(lane)) seen.push(await killAt(bench, lane, point));
    await settle(bench, lane);
    return await Promise.all(seen.map(async (row) => ({ ...row, problems: await problemsOf(bench, row.point, lane.leaves) })));
  } finally {
    await bench.close();
  }
}

async function killAt(bench: KillBench, lane: Lane, point: FaultPoint): Promise<Omit<Row, 'problems'>> {
  const userId = point;
  await bench.freshDevice();
  await lane.arrange(bench, userId);
  const armed = spawnArmed(lane.program, point, bench.env);
  await armed.up;
  await lane.whenUp?.(bench, userId);
  const signal = await armed.died;
  await bench.letLeasesRunOut();
  const successor = await lane.takeOver(bench);
  try {
    await eventually(() => isDone(bench, lane, userId), 30_000, 100);
    return { point, signal, broken: await readInvariants(bench.wired.store) };
  } finally {
    await successor.close();
  }
}

/** The rows say so, and no job is in anybody's hands. */
async function isDone({ wired }: KillBench, { leaves }: Lane, userId: string): Promise<void> {
  const [allocation] = await wired.store.prisma.allocation.findMany({ where: { userId } });
  expect(allocation?.status === 'allocated' ? 'live' : allocation && 'ended').toBe(leaves);
  // The jobs of the relay only count; the next relay takes them when it may.
  const active = (await wired.redis.keys(`${wired.prefix}:*:active`)).filter((key) => !key.endsWith(':relay:active'));
  expect(active).toEqual([]);
}

/** Until everything is published, reported and billed. */
async function settle(bench: KillBench, { program }: Lane): Promise<void> {
  const { store } = bench.wired;
  await bench.letLeasesRunOut();
  const open = [await bench.startRelay(), bench.startDelivery()];
  try {
    await eventually(
      async () => {
        const waiting = await store.prisma.outboxEntry.count({
          where: { NOT: { status: 'delivered' } },
        });
        const owed = await store.prisma.ledgerEntry.count({ where: { status: 'owed' } });
        expect({ program, waiting, owed }).toEqual({ program, waiting: 0, owed: 0 });
      },
      30_000,
      100,
    );
    const published = await store.prisma.outboxEntry.findMany({ where: { channel: 'event' }, select: { eventId: true } });
    await eventually(() => {
      const ids = new Set(bench.arrived.map(({ properties }) => properties.messageId));
      expect(published.filter(({ eventId }) => !ids.has(eventId))).toEqual([]);
    });
  } finally {
    for (const part of open) await part.close();
  }
}

describe('a process killed at any step', () => {
  test('every step belongs to a process', () => {
    expect(LANES.flatMap(pointsOf).toSorted()).toEqual(POINTS.toSorted());
  });

  test.concurrent.each(LANES.map((lane) => [lane.verbs.join(' and '), lane] as const))(
    'of %s is replaced by another one: one grant, one end, one bill, each event, every invariant',
    async (_verbs, lane) => {
      const rows = await run(lane);
      matrix.push(...rows);
      const wanted = pointsOf(lane).map((point) => ({ point, signal: 'SIGKILL', broken: [], problems: [] }));
      expect(rows).toEqual(wanted);
    },
    400_000,
  );
});
