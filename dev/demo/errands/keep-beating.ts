import type { Lease } from './desk.ts';
import { type ErrandParts, each } from './errand.ts';
import { errandUser, PLAN } from './plan.ts';

const HEARTBEAT_SECONDS = 10;
const BEAT_EVERY_MS = 3_000;

/** Holders who promised signs of life: some keep giving them, some fall silent and lose their device. */
export async function keepBeating(parts: ErrandParts): Promise<void> {
  const { desk, tally, tell } = parts;
  const promise = { heartbeatSeconds: HEARTBEAT_SECONDS };
  const silent = each(PLAN.silent, async (number) => fallSilent(parts, await desk.take(errandUser('silent', number), promise)));
  const isOver = silent.then(
    () => true,
    () => true,
  );
  await each(PLAN.beating, async (number) => beat(parts, await desk.take(errandUser('beating', number), promise), isOver));
  await silent;
  const { lost, kept } = tally.errands.heartbeats;
  tell(`${lost} holders fell silent and lost their device; ${kept} kept beating and theirs`);
}

async function fallSilent({ desk, tally }: ErrandParts, { allocationId, allocatedAt, fence }: Lease): Promise<void> {
  const { heartbeats } = tally.errands;
  const ended = await desk.until(`the silent holder of ${allocationId} losing it`, async () => {
    const lease = await desk.lease(allocationId);
    return lease.endReason === null ? undefined : lease;
  });
  if (ended.endReason !== 'holder_lost') throw new Error(`the lease of a silent holder ended: ${ended.endReason}`);
  heartbeats.lost += 1;
  heartbeats.lostAfterMs.push(Date.now() - Date.parse(allocatedAt));
  const refused = await desk.trySend(`/scheduler/allocations/${allocationId}/heartbeat`, { fence });
  if (refused?.status === 410) heartbeats.toldLate += 1;
}

/** Beats until the silent ones are gone, then gives the device back. */
async function beat({ desk, tally }: ErrandParts, { allocationId, fence }: Lease, isOver: Promise<boolean>): Promise<void> {
  const { heartbeats } = tally.errands;
  const nextBeat = () => desk.pause(BEAT_EVERY_MS).then(() => false);
  do {
    const refused = await desk.trySend(`/scheduler/allocations/${allocationId}/heartbeat`, { fence });
    if (refused !== undefined) throw new Error(`a heartbeat was answered ${refused.status} ${refused.code}`);
    heartbeats.beats += 1;
  } while (!(await Promise.race([isOver, nextBeat()])));
  if ((await desk.lease(allocationId)).status === 'allocated') heartbeats.kept += 1;
  await desk.release(allocationId);
}
