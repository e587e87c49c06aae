import type { Shortage } from '../allocation/decide-shortage.ts';
import type { LockedDevice, PlacementClass } from '../allocation/plan-group.ts';
import { bestDevice, meets, type Order } from '../placement/rank-devices.ts';
import { NO_CAPS, type Preference, type Requirement } from '../placement/requirement.ts';
import { type NodeLoad, nodeKey, nodeOf, seated } from '../placement/spread.ts';
import type { Strategy } from '../placement/strategy.ts';
import { STRATEGY_ORDERS } from '../placement/strategy-order.ts';
import { nextTurn } from '../placement/turns.ts';
import { NO_USE, type Use, useWith } from '../quota/limits.ts';
import type { SimulatedDevice } from './recorded.ts';

const NO_WISH: Preference = { providerType: null, region: null, androidVersion: null, lastDeviceId: null, avoidDeviceIds: [] };

/** A device as the simulation moves it about. */
interface Slot {
  device: SimulatedDevice;
  fence: number;
  /** The load of its node; all devices of a node share one. */
  readonly load: { -readonly [K in keyof NodeLoad]: NodeLoad[K] };
}

/** What a user has: devices held, and the last one they got. */
interface Holdings {
  readonly held: ReadonlySet<string>;
  readonly lastDeviceId: string | null;
}

/**
 * A fleet in memory: picks, holds and frees devices by the very rules the store follows. One per strategy that is tried.
 */
export class World {
  readonly #strategy: Strategy;
  readonly #slots = new Map<string, Slot>();
  readonly #free = new Map<string, SimulatedDevice>();
  readonly #holdings = new Map<string, Holdings>();
  #clock = 0;

  constructor(fleet: readonly SimulatedDevice[], strategy: Strategy) {
    this.#strategy = strategy;
    const nodes = seated([...new Map(fleet.map((device) => [nodeKey(nodeOf(device)), nodeOf(device)])).values()]);
    const loads = new Map(nodes.map((node) => [nodeKey(node), { ...node, held: 0 }]));
    for (const device of fleet) {
      const load = loads.get(nodeKey(nodeOf(device)));
      if (load === undefined) throw new Error('every device is on a node');
      this.#slots.set(device.id, { device, fence: 0, load });
      this.#free.set(device.id, device);
    }
  }

  /**
   * The best free devices for a class, best first: `pickDevices` without a database. They stay free until they are held.
   *
   * @param taken  devices this group has given out already
   */
  pick({ requirement, preference }: PlacementClass, count: number, taken: ReadonlySet<string>): LockedDevice[] {
    const picked: SimulatedDevice[] = [];
    const order = this.#order();
    for (const id of taken) this.#take(id);
    for (let index = 0; index < count; index += 1) {
      const best = bestDevice(this.#free.values(), requirement, preference, order);
      if (best === undefined) break;
      picked.push(best);
      this.#take(best.id);
    }
    for (const id of [...taken, ...picked.map((device) => device.id)]) this.#return(id);
    return picked.map((device) => this.#locked(device));
  }

  /** Why a class found nothing. */
  shortage({ requirement }: PlacementClass): Shortage {
    const uncapped = { ...requirement, caps: NO_CAPS };
    const could = [...this.#slots.values()].map(({ device }) => device).filter((device) => meets(device, uncapped));
    const smallest = bestDevice(could, uncapped, NO_WISH, STRATEGY_ORDERS.resource_efficiency) ?? null;
    return { freeWithinCaps: 0, existsWithinCaps: could.some((device) => meets(device, requirement)), smallest };
  }

  /** Whether any free device passes the hard filters. */
  hasFree(need: Requirement): boolean {
    for (const device of this.#free.values()) if (meets(device, need)) return true;
    return false;
  }

  hold(userId: string, deviceId: string): SimulatedDevice {
    const slot = this.#slotOf(deviceId);
    this.#take(deviceId);
    slot.fence += 1;
    const turned = nextTurn(this.#strategy, slot.device, this.#clock);
    if (turned !== undefined) {
      slot.device = { ...slot.device, turn: turned.turn };
      this.#clock = turned.clock;
    }
    const { held } = this.holdings(userId);
    this.#holdings.set(userId, { held: new Set([...held, deviceId]), lastDeviceId: deviceId });
    return slot.device;
  }

  free(userId: string, deviceId: string): void {
    const { held, lastDeviceId } = this.holdings(userId);
    this.#holdings.set(userId, { held: new Set([...held].filter((id) => id !== deviceId)), lastDeviceId });
    this.#return(deviceId);
  }

  holdings(userId: string): Holdings {
    return this.#holdings.get(userId) ?? { held: new Set(), lastDeviceId: null };
  }

  /** What a user holds, as limits count it. */
  useOf(userId: string): Use {
    let use = NO_USE;
    for (const id of this.holdings(userId).held) use = useWith(use, this.#slotOf(id).device);
    return use;
  }

  regionOf(deviceId: string | null): string | null {
    return deviceId === null ? null : this.#slotOf(deviceId).device.region;
  }

  ownsDevices(tenantId: string): boolean {
    for (const { device } of this.#slots.values()) if (device.tenantId === tenantId) return true;
    return false;
  }

  /** `spread` says it for many at once; one after the other it is the node with the fewest held devices, then the lower seat. */
  #order(): Order<SimulatedDevice> {
    const order = STRATEGY_ORDERS[this.#strategy.type];
    if (this.#strategy.type !== 'load_balancing') return order;
    return (a, b) => {
      const [one, other] = [this.#slotOf(a.id).load, this.#slotOf(b.id).load];
      return one.held - other.held || one.seat - other.seat || order(a, b);
    };
  }

  #take(id: string): void {
    this.#free.delete(id);
    this.#slotOf(id).load.held += 1;
  }

  #return(id: string): void {
    const { device, load } = this.#slotOf(id);
    this.#free.set(id, device);
    load.held -= 1;
  }

  #slotOf(id: string): Slot {
    const slot = this.#slots.get(id);
    if (slot === undefined) throw new Error(`no device ${id} in this fleet`);
    return slot;
  }

  #locked(device: SimulatedDevice): LockedDevice {
    const { id, cpuCores, memoryMB, storageMB, resourceScore } = device;
    return { id, name: id, status: 'running', fence: this.#slotOf(id).fence, cpuCores, memoryMB, storageMB, resourceScore };
  }
}
