/** What somebody asks for who joins. */
export interface ModelWish {
  readonly userId: string;
  readonly tenantId: string | null;
  /** 0 to 3: what the tier counts for. */
  readonly level: number;
  readonly deviceType: 'phone' | 'tablet' | undefined;
  readonly minCpu: number;
  readonly maxWaitMinutes: number;
}

/** A device as far as giving it out goes. Its number of cores is its size. */
export interface ModelDevice {
  readonly id: string;
  readonly type: 'phone' | 'tablet';
  readonly tenantId: string | null;
  readonly cores: number;
  running: boolean;
  draining: boolean;
  /** The request it was given to, while that holds it. */
  holder: string | undefined;
}

interface Entry extends ModelWish {
  readonly requestId: string;
  readonly joined: number;
  /** Its place, ms of the clock of the database. */
  rank: number;
  minutesLeft: number;
  status: 'waiting' | 'granted' | 'cancelled' | 'timed_out';
  /** Minutes it has been passed over for, or nothing. */
  parked: number | undefined;
  deviceId: string | null;
  readonly told: string[];
}

/** What the database must say of an entry. */
export interface ModelEntryRow {
  readonly status: string;
  readonly parked: boolean;
  readonly deviceId: string | null;
  readonly told: readonly string[];
}

/** Where is looked: at these devices, and at those that these requests could use. */
export interface ModelScope {
  readonly devices: readonly string[];
  readonly requests: readonly string[];
}

const MINUTE_MS = 60_000;
const HEAD_START_MS = 5 * MINUTE_MS;
const SPACING_MS = 1_000;
/** Nobody who comes so much later goes first, min: the largest head start, and the places of one flow in a story. */
const BOUND = 16;

/**
 * Who waits, and who gets what, in as few words as possible: written from the contract, not from the code. The places come from
 * the clock of the database, which the model does not have: it says between what a place must be, and is told which it is.
 */
export class WaitingModel {
  readonly entries = new Map<string, Entry>();
  readonly devices: readonly ModelDevice[];
  readonly quotas = new Map<string, number>();
  /** Who was passed by somebody who came later than the ageing allows: nobody. */
  readonly starved: string[] = [];
  #minutes = 0;

  constructor(devices: readonly ModelDevice[]) {
    this.devices = devices;
  }

  /** What joining is answered with. */
  join(requestId: string, { userId }: ModelWish): string {
    const known = this.entries.get(requestId);
    if (known !== undefined) return known.status;
    return this.#waiting().some((entry) => entry.userId === userId) ? 'ALREADY_QUEUED' : 'joins';
  }

  /** Between what its place must be that was given between two readings of the clock, ms. */
  placeOf({ userId, tenantId, level }: ModelWish, before: number, after: number): readonly [least: number, most: number] {
    const flow = this.#waiting().filter((entry) => (tenantId === null ? entry.userId === userId : entry.tenantId === tenantId));
    const bases = flow.filter((entry) => entry.level >= level).map((entry) => entry.rank + entry.level * HEAD_START_MS + SPACING_MS);
    const place = (now: number) => Math.max(now, ...bases) - level * HEAD_START_MS;
    return [place(before), place(after)];
  }

  enter(requestId: string, wish: ModelWish, rank: number): void {
    const state = { status: 'waiting', parked: undefined, deviceId: null, told: ['joined'] } as const;
    this.entries.set(requestId, {
      ...wish,
      ...state,
      requestId,
      rank,
      joined: this.#minutes,
      minutesLeft: wish.maxWaitMinutes,
      told: [...state.told],
    });
  }

  /** Whether it was withdrawn by this. */
  cancel(requestId: string, by: string): boolean {
    const entry = this.entries.get(requestId);
    if (entry?.status !== 'waiting' || entry.userId !== by) return false;
    return this.#over(entry, 'cancelled', 'cancelled');
  }

  /** Whether somebody of no tenant who does not wait may have a device now: one that nobody in the line would take. */
  mayTake(deviceType: ModelWish['deviceType'], now: number): boolean {
    const free = this.devices.filter((device) => isFree(device) && suits({ deviceType, minCpu: 0, tenantId: null }, device));
    const earlier = this.#inLine().filter(({ rank }) => rank < now);
    return match(earlier, free).length < free.length;
  }

  /** The holder gives a device back. */
  free(device: ModelDevice): void {
    device.holder = undefined;
  }

  /** Whoever was passed over is looked at again. @returns the requests of the user that wait */
  unpark(userId: string): string[] {
    const own = this.#waiting().filter((entry) => entry.userId === userId);
    for (const entry of own) entry.parked = undefined;
    return own.map(({ requestId }) => requestId);
  }

  pass(minutes: number): void {
    this.#minutes += minutes;
    for (const entry of this.entries.values()) {
      entry.rank -= minutes * MINUTE_MS;
      entry.minutesLeft -= minutes;
      if (entry.parked !== undefined) entry.parked += minutes;
    }
  }

  /** What nobody said is found all the same: who waited too long, who was passed over for long, every free device. */
  look(): void {
    for (const entry of this.#waiting()) {
      if (entry.minutesLeft <= 0) this.#over(entry, 'timed_out', 'expired');
      else if (entry.parked !== undefined && entry.parked >= 1) entry.parked = undefined;
    }
    this.serve({ devices: this.devices.map(({ id }) => id), requests: [] });
  }

  /** Round after round: in the order of places each takes the smallest free device that suits it; then it is decided whether it may have it. */
  serve(scope: ModelScope): void {
    for (;;) {
      const matches = this.#match(scope);
      if (matches.length === 0) return;
      for (const [entry, device] of matches) this.#decide(entry, device);
    }
  }

  #match({ devices, requests }: ModelScope): (readonly [Entry, ModelDevice])[] {
    const inLine = this.#inLine();
    const named = inLine.filter(({ requestId }) => requests.includes(requestId));
    const looked = (device: ModelDevice) => devices.includes(device.id) || named.some((entry) => suits(entry, device));
    return match(
      inLine,
      this.devices.filter((device) => isFree(device) && looked(device)),
    );
  }

  #decide(entry: Entry, device: ModelDevice): void {
    if (entry.minutesLeft <= 0) this.#over(entry, 'timed_out', 'expired');
    else if (!this.#hasRoom(entry.userId)) entry.parked = 0;
    else {
      device.holder = entry.requestId;
      entry.deviceId = device.id;
      this.#over(entry, 'granted', 'fulfilled');
      const passed = this.#waiting().filter((other) => other.parked === undefined && other.minutesLeft > 0 && suits(other, device));
      for (const other of passed) if (entry.joined - other.joined > BOUND) this.starved.push(other.requestId);
    }
  }

  /** Those who could be served and are not: nobody, once everything was looked at. */
  overlooked(): string[] {
    const eligible = this.#waiting().filter((entry) => entry.minutesLeft > 0 && entry.parked === undefined && this.#hasRoom(entry.userId));
    return eligible
      .filter((entry) => this.devices.some((device) => isFree(device) && suits(entry, device)))
      .map((entry) => entry.requestId);
  }

  rows(): Record<string, ModelEntryRow> {
    return Object.fromEntries(
      [...this.entries].map(([id, { status, parked, deviceId, told }]) => [id, { status, parked: parked !== undefined, deviceId, told }]),
    );
  }

  #over(entry: Entry, status: Entry['status'], told: string): true {
    entry.status = status;
    entry.parked = undefined;
    entry.told.push(told);
    return true;
  }

  #waiting(): Entry[] {
    return [...this.entries.values()].filter(({ status }) => status === 'waiting');
  }

  #inLine(): Entry[] {
    const unparked = this.#waiting().filter(({ parked }) => parked === undefined);
    return unparked.toSorted((a, b) => a.rank - b.rank || (a.requestId < b.requestId ? -1 : 1));
  }

  #hasRoom(userId: string): boolean {
    const held = this.devices.filter(({ holder }) => holder !== undefined && this.entries.get(holder)?.userId === userId);
    return held.length < (this.quotas.get(userId) ?? 0);
  }
}

function match(inLine: readonly Entry[], devices: readonly ModelDevice[]): (readonly [Entry, ModelDevice])[] {
  const free = devices.toSorted((a, b) => a.cores - b.cores);
  return inLine.flatMap((entry) => {
    const device = free.find((candidate) => suits(entry, candidate));
    if (device === undefined) return [];
    free.splice(free.indexOf(device), 1);
    return [[entry, device] as const];
  });
}

function isFree({ running, draining, holder }: ModelDevice): boolean {
  return running && !draining && holder === undefined;
}

function suits({ deviceType, minCpu, tenantId }: Pick<ModelWish, 'deviceType' | 'minCpu' | 'tenantId'>, device: ModelDevice): boolean {
  const kind = deviceType === undefined || deviceType === device.type;
  return kind && device.cores >= minCpu && (device.tenantId === null || device.tenantId === tenantId);
}
