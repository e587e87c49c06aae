import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { AskedAllocationInput } from '../../../shared/allocation/asked.ts';
import type { ServiceCall } from '../service-call.ts';
import type { Tally } from '../tally.ts';

const taken = z.object({ allocationId: z.string(), deviceId: z.string(), fence: z.number(), expiresAt: z.string() });
const waiting = z.object({ requestId: z.string() });
const decided = z.object({ status: z.string(), allocationId: z.string().nullish() });
const lease = z.object({
  allocationId: z.string(),
  deviceId: z.string(),
  fence: z.number(),
  status: z.string(),
  allocatedAt: z.string(),
  expiresAt: z.string(),
  endReason: z.string().nullable(),
});

/** A lease as the API tells it. */
export type Lease = z.output<typeof lease>;

/** An answer that is no success. */
export interface Refused {
  readonly status: number;
  readonly code: string;
}

/** The calls that errands make over HTTP, as one service on behalf of its users. Faults are thrown, refusals only by `take`. */
export interface Desk {
  /** Gets a device for a user, waiting for one if it must, and counts it. */
  take(userId: string, wish?: AskedAllocationInput & { readonly tenantId?: string }): Promise<Lease>;
  /** Adds a phone of the smallest size that only one tenant may have. @returns its id */
  addPhone(name: string, tenantId: string): Promise<string>;
  /** Asks without waiting for a device. @returns the refusal; undefined when there was none */
  refusalOf(userId: string): Promise<Refused | undefined>;
  lease(allocationId: string): Promise<Lease>;
  /** What a user holds. */
  held(userId: string): Promise<readonly Lease[]>;
  release(allocationId: string): Promise<void>;
  get<T>(path: string, answer: z.ZodType<T>): Promise<T>;
  send<T>(path: string, body: object, answer: z.ZodType<T>): Promise<T>;
  /** Sends what may be refused. @returns the refusal; undefined when there was none */
  trySend(path: string, body: object): Promise<Refused | undefined>;
  /** Looks every half second until there is something. @throws Error naming `what` after four minutes */
  until<T>(what: string, look: () => Promise<T | undefined>): Promise<T>;
  pause(ms: number): Promise<void>;
}

const LOOK_EVERY_MS = 500;
const PATIENCE_MS = 240_000;
const SMALLEST_CORES = 2;

export function createDesk(call: ServiceCall, tally: Tally, stopping: AbortSignal): Desk {
  const wait = async (ms: number) => void (await pause(Math.max(0, ms), undefined, { signal: stopping }));

  async function get<T>(path: string, answer: z.ZodType<T>): Promise<T> {
    return read(path, await call('GET', path), answer);
  }

  async function send<T>(path: string, body: object, answer: z.ZodType<T>): Promise<T> {
    return read(path, await call('POST', path, body, crypto.randomUUID()), answer);
  }

  async function trySend(path: string, body: object): Promise<Refused | undefined> {
    const response = await call('POST', path, body, crypto.randomUUID());
    const text = await response.text();
    return response.ok ? undefined : { status: response.status, code: z.object({ code: z.string() }).parse(JSON.parse(text)).code };
  }

  async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    const last = performance.now() + PATIENCE_MS;
    for (;;) {
      const seen = await look();
      if (seen !== undefined) return seen;
      if (performance.now() > last) throw new Error(`not in four minutes: ${what}`);
      await wait(LOOK_EVERY_MS);
    }
  }

  async function addPhone(name: string, tenantId: string): Promise<string> {
    const id = crypto.randomUUID();
    const size = { cpuCores: SMALLEST_CORES, memoryMB: 4_096, storageMB: 65_536 };
    const device = { name, tenantId, type: 'phone', status: 'running', providerType: 'redroid', ...size };
    const path = `/scheduler/devices/${id}`;
    await read(path, await call('PUT', path, device, crypto.randomUUID()), z.object({ created: z.literal(true) }));
    return id;
  }

  async function take(userId: string, wish: AskedAllocationInput & { readonly tenantId?: string } = {}): Promise<Lease> {
    const body = { userId, durationMinutes: 30, queueIfBusy: true, ...wish, waitMs: 10_000 };
    const answer = await send('/scheduler/devices/allocate', body, z.union([taken, waiting]));
    const id = 'allocationId' in answer ? answer.allocationId : await until(`a device for ${userId}`, () => grantOf(answer.requestId));
    tally.allocations.add(id);
    return readLease(id);
  }

  async function grantOf(requestId: string): Promise<string | undefined> {
    const { status, allocationId } = await get(`/scheduler/requests/${requestId}`, decided);
    if (status === 'pending' || status === 'waiting') return undefined;
    if (typeof allocationId !== 'string') throw new Error(`request ${requestId} is ${status}`);
    return allocationId;
  }

  const readLease = (id: string) => get(`/scheduler/allocations/${id}`, lease);

  return {
    ...{ get, send, trySend, until, take, addPhone, pause: wait, lease: readLease },
    refusalOf: (userId) => trySend('/scheduler/devices/allocate', { userId, durationMinutes: 30, waitMs: 10_000 }),
    held: async (userId) =>
      (await get(`/scheduler/allocations?userId=${userId}&status=allocated`, z.object({ items: z.array(lease) }))).items,
    release: async (allocationId) => void (await send('/scheduler/devices/release', { allocationId }, z.object({}))),
  };
}

async function read<T>(path: string, response: Response, answer: z.ZodType<T>): Promise<T> {
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} was answered ${response.status} ${text}`);
  return z.object({ data: answer }).parse(JSON.parse(text)).data;
}
