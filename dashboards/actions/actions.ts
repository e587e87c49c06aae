import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { ReleaseOutcome } from '../../queues/jobs/release.ts';
import { ALL_SCHEDULES } from '../../queues/schedules.ts';
import { SchedulerError } from '../../shared/errors.ts';
import { announce } from '../../shared/run/announce.ts';
import { DEAD_LETTER_KINDS, retryDeadLetters } from '../../shared/store/dead-letters.ts';
import { changeDevice } from '../../shared/store/fleet.ts';
import { pauseJob } from '../../shared/store/scheduled-runs.ts';
import { readAllocations } from '../../shared/store/story-rows.ts';
import { activateStrategy } from '../../shared/store/strategies.ts';
import type { DashboardDeps } from '../deps.ts';
import { answered } from '../sessions.ts';

/** Something an operator may do: what has to be said, and doing it. The answer is a sentence for people. */
export interface Action<Words extends z.ZodType = z.ZodType> {
  readonly words: Words;
  /** @throws SchedulerError when it cannot be done */
  run(words: z.output<Words>, deps: DashboardDeps, by: string): Promise<string>;
}

const action = <Words extends z.ZodType>(words: Words, run: Action<Words>['run']): Action =>
  // What comes in has passed the schema of the same action.
  ({ words, run: (said, deps, by) => run(said as z.output<Words>, deps, by) });

const ALL = { kind: 'all' } as const;
const RELEASE_WAIT_MS = 5_000;
const RETRY_MOST = 1_000;

const job = z.strictObject({ name: z.enum(ALL_SCHEDULES.map(({ name }) => name)) });
const device = z.strictObject({ deviceId: z.guid() });
const queue = z.strictObject({ name: z.string().min(1).max(100) });

/** By the name they are called by in addresses and in the audit trail. */
export const ACTIONS: Readonly<Record<string, Action>> = {
  release: action(z.strictObject({ allocationId: z.guid(), reason: z.string().trim().max(500).optional() }), release),
  drain: action(device, ({ deviceId }, deps) => changeFleet(deps, deviceId, 'drain')),
  activate: action(device, ({ deviceId }, deps) => changeFleet(deps, deviceId, 'activate')),
  'retry-dead-letter': action(z.strictObject({ id: z.guid() }), async ({ id }, deps) => {
    if ((await retry(deps, { id })) === 0) throw new SchedulerError('DEAD_LETTER_NOT_FOUND');
    return 'The dead letter is tried again.';
  }),
  'retry-dead-letters': action(z.strictObject({ kind: z.enum(DEAD_LETTER_KINDS).optional() }), async ({ kind }, deps) => {
    const count = await retry(deps, { kind, limit: RETRY_MOST });
    return `${count} dead letter${count === 1 ? ' is' : 's are'} tried again.`;
  }),
  'run-job': action(job, async ({ name }, { producer }) => {
    await producer.runNow(name);
    return `${name} is run now.`;
  }),
  'pause-job': action(job, async ({ name }, { store }, by) => {
    await pauseJob(store, name, `dashboard:${by}`);
    return `${name} is paused.`;
  }),
  'resume-job': action(job, async ({ name }, { store }) => {
    await pauseJob(store, name, undefined);
    return `${name} goes on.`;
  }),
  'pause-queue': action(queue, async ({ name }, deps) => {
    await answered(queueOf(deps, name).pause());
    return `The queue ${name} is paused.`;
  }),
  'resume-queue': action(queue, async ({ name }, deps) => {
    await answered(queueOf(deps, name).resume());
    return `The queue ${name} goes on.`;
  }),
  'switch-strategy': action(z.strictObject({ id: z.guid() }), async ({ id }, { store }) => {
    const { name } = await activateStrategy(store, id);
    return `${name} decides from now on.`;
  }),
};

/** As the API does for an admin: hands the release to the workers and waits for its outcome. */
async function release(
  { allocationId, reason }: { allocationId: string; reason?: string | undefined },
  { store, producer, outcomes, instance }: DashboardDeps,
  by: string,
): Promise<string> {
  const [allocation] = await readAllocations(store, { id: allocationId });
  if (allocation === undefined) throw new SchedulerError('ALLOCATION_NOT_FOUND');
  if (allocation.endedAt !== null) throw new SchedulerError('ALLOCATION_ENDED');
  const releaseId = randomUUID();
  const told = outcomes.wait(releaseId, RELEASE_WAIT_MS);
  await producer.release({
    releaseId,
    caller: `dashboard:${by}`,
    userId: null,
    tenantId: null,
    allocationId,
    endReason: 'admin_released',
    ...(reason === undefined || reason === '' ? {} : { reason }),
    replyTo: instance,
  });
  const outcome = (await told) as ReleaseOutcome | undefined;
  if (outcome?.status === 'refused') throw new SchedulerError(outcome.code);
  if (outcome === undefined) return `The release of ${allocation.deviceName} is handed over; no worker has carried it out yet.`;
  return `${allocation.deviceName} is released.`;
}

async function changeFleet(
  { store, redis, prefix, capacity, logger }: DashboardDeps,
  deviceId: string,
  change: 'drain' | 'activate',
): Promise<string> {
  if ((await changeDevice(store, deviceId, change, { kind: 'all' })) === 'missing') throw new SchedulerError('DEVICE_NOT_FOUND');
  await announce(redis, prefix, { availability: true, outbox: false, outcomes: [] }, logger);
  if (change === 'activate') await capacity.changed({ devices: [deviceId] });
  return change === 'drain' ? 'The device is drained: it is given to nobody any more.' : 'The device is in service again.';
}

async function retry({ store, redis, prefix, logger }: DashboardDeps, which: Parameters<typeof retryDeadLetters>[1]): Promise<number> {
  const revived = await retryDeadLetters(store, which, ALL);
  if (revived.length > 0) await announce(redis, prefix, { availability: false, outbox: true, outcomes: [] }, logger);
  return revived.length;
}

function queueOf({ queues }: DashboardDeps, wanted: string) {
  const found = queues.find(({ name }) => name === wanted);
  if (found === undefined) throw new SchedulerError('NOT_FOUND', { messages: ['There is no such queue.'] });
  return found;
}
