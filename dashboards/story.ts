import type { Queue } from 'bullmq';
import { QUEUES } from '../queues/names.ts';
import type { Subject } from '../shared/store/find-subject.ts';
import {
  type AllocationRow,
  type DeviceRow,
  type EventRow,
  type ExtensionRow,
  type RequestRow,
  type ReservationRow,
  readAllocations,
  readEvents,
  readExtensions,
  readStoryDevice,
  readStoryRequests,
  readStoryReservations,
  readStoryUser,
  type UserRow,
} from '../shared/store/story-rows.ts';
import type { DashboardDeps } from './deps.ts';
import { redact } from './redact.ts';
import { answered } from './sessions.ts';

/** A job as a story tells it. */
export interface StoryJob {
  readonly queue: string;
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly attempts: number;
  readonly at: number;
  readonly finishedAt: number | undefined;
  readonly failedReason: string | undefined;
  readonly logs: readonly string[];
}

/** All that is known of one user, device, allocation, request or reservation. */
export interface Story {
  readonly kind: Subject['kind'];
  readonly id: string;
  readonly user?: UserRow | undefined;
  readonly device?: DeviceRow | undefined;
  readonly allocations: readonly AllocationRow[];
  readonly requests: readonly RequestRow[];
  readonly extensions: readonly ExtensionRow[];
  readonly events: readonly EventRow[];
  readonly reservations: readonly ReservationRow[];
  readonly jobs: readonly StoryJob[];
}

const NOTHING = { allocations: [], requests: [], extensions: [], events: [], reservations: [], jobs: [] } as const;
const LOG_LINES = 20;
/** So many allocations and requests of a user or device are followed into events and jobs. */
const LATEST = 5;

/** Tells a story, or nothing when nothing is known. Holds no secret, and no address of a device. */
export async function tellStory(deps: DashboardDeps, kind: Subject['kind'], id: string): Promise<Story | undefined> {
  const story = await TELL[kind](deps, id);
  return story === undefined ? undefined : (redact(story) as Story);
}

const TELL: Readonly<Record<Subject['kind'], (deps: DashboardDeps, id: string) => Promise<Story | undefined>>> = {
  user: tellUser,
  device: tellDevice,
  allocation: tellAllocation,
  request: tellRequest,
  reservation: tellReservation,
};

async function tellUser(deps: DashboardDeps, id: string): Promise<Story | undefined> {
  const { store } = deps;
  const [user, allocations, requests, reservations] = await Promise.all([
    readStoryUser(store, id),
    readAllocations(store, { userId: id }),
    readStoryRequests(store, { userId: id }),
    readStoryReservations(store, { userId: id }),
  ]);
  if (user === undefined && allocations.length + requests.length + reservations.length === 0) return undefined;
  return { ...NOTHING, kind: 'user', id, user, allocations, requests, reservations, ...(await readLatest(deps, allocations, requests)) };
}

async function tellDevice(deps: DashboardDeps, id: string): Promise<Story | undefined> {
  const { store } = deps;
  const device = await readStoryDevice(store, id);
  if (device === undefined) return undefined;
  const [allocations, reservations] = await Promise.all([
    readAllocations(store, { deviceId: id }),
    readStoryReservations(store, { deviceId: id }),
  ]);
  const requests = await readStoryRequests(store, { ids: allocations.map(({ requestId }) => requestId) });
  return { ...NOTHING, kind: 'device', id, device, allocations, requests, reservations, ...(await readLatest(deps, allocations, [])) };
}

/** Events and jobs are known by allocation and request, not by user or device: those of the latest stand for them. */
async function readLatest(
  deps: DashboardDeps,
  allocations: readonly AllocationRow[],
  requests: readonly RequestRow[],
): Promise<Pick<Story, 'events' | 'jobs'>> {
  const latest = allocations.slice(0, LATEST);
  const asked = new Set([...latest.map(({ requestId }) => requestId), ...requests.slice(0, LATEST).map(({ id }) => id)]);
  const [events, jobs] = await Promise.all([
    readEvents(
      deps.store,
      latest.map(({ id }) => id),
    ),
    readJobs(deps, [
      ...[...asked].map((id) => [QUEUES.allocate, id] as const),
      ...latest.map(({ id }) => [QUEUES.delivery, `billing-${id}`] as const),
    ]),
  ]);
  return { events, jobs };
}

async function tellAllocation(deps: DashboardDeps, id: string): Promise<Story | undefined> {
  const { store } = deps;
  const allocations = await readAllocations(store, { id });
  const [allocation] = allocations;
  if (allocation === undefined) return undefined;
  const [requests, extensions, events, reservations] = await Promise.all([
    readStoryRequests(store, { ids: [allocation.requestId] }),
    readExtensions(store, id),
    readEvents(store, [id]),
    readStoryReservations(store, { allocationId: id }),
  ]);
  const jobs = await readJobs(deps, [
    [QUEUES.allocate, allocation.requestId],
    [QUEUES.billing, `billing-${id}`],
    ...extensions.map((extension) => [QUEUES.extend, extension.id] as const),
  ]);
  return { kind: 'allocation', id, allocations, requests, extensions, events, reservations, jobs };
}

async function tellRequest(deps: DashboardDeps, id: string): Promise<Story | undefined> {
  const requests = await readStoryRequests(deps.store, { ids: [id] });
  const [request] = requests;
  if (request === undefined) return undefined;
  const granted = request.allocationId === null ? undefined : await tellAllocation(deps, request.allocationId);
  if (granted !== undefined) return { ...granted, kind: 'request', id };
  return { ...NOTHING, kind: 'request', id, requests, jobs: await readJobs(deps, [[QUEUES.allocate, id]]) };
}

async function tellReservation(deps: DashboardDeps, id: string): Promise<Story | undefined> {
  const reservations = await readStoryReservations(deps.store, { id });
  const [reservation] = reservations;
  if (reservation === undefined) return undefined;
  const begun = reservation.allocationId === null ? undefined : await tellAllocation(deps, reservation.allocationId);
  return { ...NOTHING, ...begun, kind: 'reservation', id, reservations };
}

/** Jobs that are still there: finished ones are kept for some minutes only. */
async function readJobs({ queues }: DashboardDeps, wanted: readonly (readonly [queue: string, id: string])[]): Promise<StoryJob[]> {
  const found = await Promise.all(
    wanted.map(([name, id]) => {
      const queue = queues.find((each) => each.name === name);
      return queue === undefined ? Promise.resolve(undefined) : answered(readJob(queue, id));
    }),
  );
  return found.filter((job) => job !== undefined);
}

async function readJob(queue: Queue, id: string): Promise<StoryJob | undefined> {
  const job = await queue.getJob(id);
  if (job === undefined) return undefined;
  const [state, { logs }] = await Promise.all([job.getState(), queue.getJobLogs(id, 0, LOG_LINES - 1)]);
  const { name, attemptsMade: attempts, timestamp: at, finishedOn: finishedAt, failedReason } = job;
  return { queue: queue.name, id, name, state, attempts, at, finishedAt, failedReason, logs };
}
