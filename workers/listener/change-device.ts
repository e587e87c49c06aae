import { hash } from 'node:crypto';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import type { EndReason } from '../../shared/allocation/end-reason.ts';
import type { AllocationRequest } from '../../shared/allocation/facts.ts';
import { endAllocations } from '../../shared/store/end-allocations.ts';
import { type DeviceAfter, type HeldDevice, noteHealth, setDeviceStatus } from '../../shared/store/event-effects.ts';
import { upsertDevices } from '../../shared/store/fleet.ts';
import { insertRequest } from '../../shared/store/requests.ts';
import type { Transaction } from '../../shared/store/store.ts';
import { type Consumed, type Effect, type EventParts, type EventResult, once } from './event-parts.ts';
import { moveReservations } from './move-reservations.ts';

/** A device is there, or is described anew. */
export function putDevice(parts: EventParts, { event, action }: Consumed<'put-device'>): Promise<EventResult> {
  const { device } = action;
  return once(parts, event, async (tx) => {
    const { created, held } = await upsertDevices({ prisma: tx }, [JSON.stringify(device)], { kind: 'all' });
    return { freed: device.status === 'running' ? { devices: [device.id] } : undefined, detail: { created, held: held.length } };
  });
}

/** A device has another status. Who holds one that stopped or failed loses it, and gets another one if one is free; so do those who reserved it. */
export async function changeStatus(
  parts: EventParts,
  { event, action }: Consumed<'set-device-status'>,
  signal: AbortSignal,
): Promise<EventResult> {
  const { deviceId, status } = action;
  const lost = status === 'stopped' || status === 'error' || status === 'deleted';
  const reason = status === 'deleted' ? 'device_deleted' : 'device_failed';
  return takeAway(parts, event, { deviceId, status, endReason: lost ? reason : undefined, relocates: lost }, signal);
}

/** A device is gone for good or for a while: who holds it loses it, and gets another one if it failed and one is free. */
export async function takeOut(
  parts: EventParts,
  { event, action }: Consumed<'take-device-out'>,
  signal: AbortSignal,
): Promise<EventResult> {
  return takeAway(parts, event, { ...action, relocates: action.endReason === 'device_failed' }, signal);
}

interface Loss {
  readonly deviceId: string;
  readonly status: string;
  readonly endReason: EndReason | undefined;
  readonly relocates: boolean;
}

async function takeAway(
  parts: EventParts,
  event: Consumed<'take-device-out'>['event'],
  loss: Loss,
  signal: AbortSignal,
): Promise<EventResult> {
  let moved: AllocationRequest | undefined;
  const result = await once(parts, event, async (tx) => {
    const device = await setDeviceStatus(tx, loss.deviceId, loss.status);
    if (device === undefined) return { freed: undefined, detail: { unknown: loss.deviceId } };
    moved =
      loss.endReason === undefined || device.held === undefined ? undefined : await endHeld(parts, tx, event.eventId, loss, device.held);
    return effectOf(loss, device, moved);
  });
  // Its row is there: should the job get lost, the reconciler hands it out.
  if (moved !== undefined && result.status === 'done') await parts.producer.allocateAgain([{ ...moved, createdAt: new Date() }]);
  const reservations = await moveReservations(parts, loss.deviceId, signal);
  return reservations.moved + reservations.left === 0 ? result : { ...result, reservations };
}

function effectOf({ deviceId, endReason }: Loss, { status, before, held }: DeviceAfter, moved: AllocationRequest | undefined): Effect {
  const becameFree = status === 'running' && before !== 'running' && held === undefined;
  // The device is out of the game, but its user has room again.
  const ended = endReason !== undefined && held !== undefined ? [held.allocationId] : [];
  return {
    freed: { devices: becameFree ? [deviceId] : [], allocations: ended },
    detail: { before, after: status, ...(moved === undefined ? {} : { relocatedBy: moved.requestId }) },
  };
}

/** @returns the request for another device, if there is to be one */
async function endHeld(
  parts: EventParts,
  tx: Transaction,
  eventId: string,
  { endReason = 'device_failed', relocates, deviceId }: Loss,
  held: HeldDevice,
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
