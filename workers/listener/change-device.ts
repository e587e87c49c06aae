import { hash } from 'node:crypto';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import type { AllocationRequest } from '../../shared/allocation/facts.ts';
import { decideLoss, type Loss } from '../../shared/consumed/decide-loss.ts';
import { endAllocations } from '../../shared/store/end-allocations.ts';
import { type HeldDevice, lockHold, noteHealth, setDeviceStatus } from '../../shared/store/event-effects.ts';
import { upsertDevices } from '../../shared/store/fleet.ts';
import { insertRequest } from '../../shared/store/requests.ts';
import type { Transaction } from '../../shared/store/store.ts';
import { type Consumed, type EventParts, type EventResult, once } from './event-parts.ts';
import { moveReservations } from './move-reservations.ts';

/** A device is there, or is described anew. */
export function putDevice(parts: EventParts, { event, action }: Consumed<'put-device'>, signal: AbortSignal): Promise<EventResult> {
  const { device } = action;
  const put = async (tx: Transaction, before: string | undefined) => {
    // Events come in any order: none brings a deleted device back, and being made comes before everything else.
    if (before === 'deleted') return before;
    const status = device.status === 'creating' ? (before ?? device.status) : device.status;
    await upsertDevices({ prisma: tx }, [JSON.stringify({ ...device, status })], { kind: 'all' });
    return status;
  };
  return settle(parts, event, { deviceId: device.id, change: put }, signal);
}

/** A device has another status. */
export async function changeStatus(
  parts: EventParts,
  { event, action }: Consumed<'set-device-status'>,
  signal: AbortSignal,
): Promise<EventResult> {
  const { deviceId, status } = action;
  const set = async (tx: Transaction, before: string | undefined) => {
    if (before !== undefined) return setDeviceStatus(tx, deviceId, status);
    // What made it known may be on its way still: it is tried again until then, and given up if nothing comes.
    if (status === 'running') throw new Error(`device ${deviceId} runs, and nobody has said what it is`);
    return undefined;
  };
  return settle(parts, event, { deviceId, change: set }, signal);
}

/** A device was changed by another of our doors, which leaves its holder and who has reserved it to us. */
export function settleDevice(parts: EventParts, { event, action }: Consumed<'settle-device'>, signal: AbortSignal): Promise<EventResult> {
  return settle(parts, event, { deviceId: action.deviceId, change: async (_tx, before) => before }, signal);
}

/** What is done to a locked device, from its status before (nothing: nobody knows it) to the one it has after. */
interface DeviceChange {
  readonly deviceId: string;
  readonly change: (tx: Transaction, before: string | undefined) => Promise<string | undefined>;
}

/**
 * Changes a device and looks after the people: who holds one that is out of service now loses it, and gets another one if it failed
 * and one is free (`decideLoss`); who has reserved it is given another one at once.
 */
async function settle(
  parts: EventParts,
  event: Consumed<'settle-device'>['event'],
  { deviceId, change }: DeviceChange,
  signal: AbortSignal,
): Promise<EventResult> {
  let moved: AllocationRequest | undefined;
  const result = await once(parts, event, async (tx) => {
    const before = await lockHold(tx, deviceId);
    const after = await change(tx, before?.status);
    if (after === undefined) return { freed: undefined, detail: { unknown: deviceId } };
    const loss = before?.held === undefined ? undefined : decideLoss(after);
    // The device is out of the game, but its user has room again.
    const ended = loss === undefined || before?.held === undefined ? [] : [before.held.allocationId];
    if (loss !== undefined && before?.held !== undefined) moved = await endHeld(parts, tx, event.eventId, deviceId, before.held, loss);
    const freed = { devices: after === 'running' && before?.held === undefined ? [deviceId] : [], allocations: ended };
    return { freed, detail: { before: before?.status ?? null, after, ...(moved === undefined ? {} : { relocatedBy: moved.requestId }) } };
  });
  // Its row is there: should the job get lost, the reconciler hands it out.
  if (moved !== undefined && result.status === 'done') await parts.producer.allocateAgain([{ ...moved, createdAt: new Date() }]);
  const reservations = await moveReservations(parts, deviceId, signal);
  return reservations.moved + reservations.left === 0 ? result : { ...result, reservations };
}

/** @returns the request for another device, if there is to be one */
async function endHeld(
  parts: EventParts,
  tx: Transaction,
  eventId: string,
  deviceId: string,
  held: HeldDevice,
  { endReason, relocates }: Loss,
): Promise<AllocationRequest | undefined> {
  await endAllocations(tx, [{ allocationId: held.allocationId, reason: endReason }], parts.ending);
  if (!relocates || !parts.relocate) return undefined;
  const request = relocation(eventId, deviceId, held);
  await insertRequest({ prisma: tx }, request);
  return request;
}

/** Another device of the same kind, no smaller, for the time that was left. */
function relocation(eventId: string, deviceId: string, held: HeldDevice): AllocationRequest {
  const { userId, tenantId, tier } = held;
  const asked = askedAllocation.parse({
    durationMinutes: Math.min(held.minutesLeft, 1_440),
    preferredSpecs: { minCpu: held.cpuCores, minMemory: held.memoryMB, minStorage: held.storageMB },
    devicePreferences: { deviceType: held.deviceType, avoidDeviceIds: [deviceId] },
  });
  const requestId = requestIdOf(`relocate:${held.allocationId}:${eventId}`);
  return { requestId, caller: 'service:listener', source: 'event', userId, tenantId, tier, asked, traceId: undefined };
}

/** The id of a request that follows from an event: the same however often the event comes. */
export function requestIdOf(cause: string): string {
  const hex = hash('sha256', cause, 'hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** How a device is doing; placement goes by it. */
export function changeHealth(parts: EventParts, { event, action }: Consumed<'note-health'>): Promise<EventResult> {
  return once(parts, event, async (tx) => ({ freed: undefined, detail: { known: await noteHealth(tx, action.deviceId, action) } }));
}
