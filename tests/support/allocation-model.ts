import type { RenewalPolicy } from '../../shared/renewal/policy.ts';

/** An allocation as the model knows it. Times in whole minutes of the model's own clock. */
export interface ModelAllocation {
  readonly userId: string;
  readonly deviceId: string;
  readonly fence: number;
  readonly start: number;
  duration: number;
  extensions: number;
  lastExtended: number | undefined;
  /** How it ended and how long it was held; nothing while it is live. */
  end: { readonly reason: 'released' | 'expired'; readonly minutes: number } | undefined;
}

/** What the database must say of one allocation. */
export interface ModelRow {
  readonly status: string;
  readonly deviceId: string;
  readonly fence: number;
  readonly duration: number;
  readonly extensions: number;
  readonly heldMinutes: number | null;
}

/**
 * What allocations may do, in as few words as possible: written from the contract, not from the code, and without a
 * database, a transaction or a clock of its own.
 */
export class AllocationModel {
  readonly allocations = new Map<string, ModelAllocation>();
  readonly fences: Map<string, number>;
  readonly #extended = new Set<string>();
  readonly #policy: RenewalPolicy;
  now = 0;

  constructor(devices: readonly string[], policy: RenewalPolicy) {
    this.fences = new Map(devices.map((id) => [id, 0]));
    this.#policy = policy;
  }

  /** Held, also by an allocation that ran out and was not ended yet. */
  get busy(): ReadonlySet<string> {
    return new Set([...this.allocations.values()].filter(({ end }) => end === undefined).map(({ deviceId }) => deviceId));
  }

  grant(id: string, userId: string, deviceId: string, minutes: number): number {
    const fence = (this.fences.get(deviceId) ?? 0) + 1;
    this.fences.set(deviceId, fence);
    const start = this.now;
    this.allocations.set(id, { userId, deviceId, fence, start, duration: minutes, extensions: 0, lastExtended: undefined, end: undefined });
    return fence;
  }

  /** `extended`, or the code of the refusal. */
  extend(id: string, call: string, by: string, minutes: number, fence: number | undefined): string {
    const held = this.allocations.get(id);
    if (held === undefined || held.userId !== by) return 'ALLOCATION_NOT_FOUND';
    if (this.#extended.has(`${call} ${id}`)) return 'extended';
    const answer = this.#mayExtend(held, minutes, fence);
    if (answer === 'extended') {
      this.#extended.add(`${call} ${id}`);
      this.#lengthen(held, minutes);
    }
    return answer;
  }

  /** Minutes added, 0 if it was left alone. */
  extendByItself(id: string): number {
    const held = this.allocations.get(id);
    if (held === undefined) return 0;
    const minutes = Math.min(this.#policy.maxMinutesEach, this.#policy.maxTotalMinutes - held.duration);
    if (minutes < 1 || this.#mayExtend(held, minutes, undefined) !== 'extended') return 0;
    this.#lengthen(held, minutes);
    return minutes;
  }

  #mayExtend(held: ModelAllocation, minutes: number, fence: number | undefined): string {
    const { maxCount, maxMinutesEach, maxTotalMinutes, cooldownSeconds, windowMinutes } = this.#policy;
    const left = held.start + held.duration - this.now;
    if (fence !== undefined && fence < held.fence) return 'STALE_FENCE';
    if (held.end !== undefined || left <= 0) return 'ALLOCATION_ENDED';
    if (held.extensions >= maxCount) return 'EXTEND_COUNT_REACHED';
    if (minutes > maxMinutesEach) return 'VALIDATION_FAILED';
    if (held.duration + minutes > maxTotalMinutes) return 'EXTEND_TOTAL_REACHED';
    if (held.lastExtended !== undefined && this.now - held.lastExtended < cooldownSeconds / 60) return 'EXTEND_COOLDOWN';
    return left > windowMinutes ? 'EXTEND_TOO_EARLY' : 'extended';
  }

  #lengthen(held: ModelAllocation, minutes: number): void {
    held.duration += minutes;
    held.extensions += 1;
    held.lastExtended = this.now;
  }

  /** `released` also when it has ended before: the same answer again. */
  release(id: string, by: string): string {
    const held = this.allocations.get(id);
    if (held === undefined || held.userId !== by) return 'ALLOCATION_NOT_FOUND';
    held.end ??= { reason: 'released', minutes: this.now - held.start };
    return 'released';
  }

  /** How many ended. */
  expire(): number {
    const due = [...this.allocations.values()].filter(({ start, duration, end }) => end === undefined && start + duration <= this.now);
    for (const held of due) held.end = { reason: 'expired', minutes: held.duration };
    return due.length;
  }

  rows(): Record<string, ModelRow> {
    return Object.fromEntries(
      [...this.allocations].map(([id, { deviceId, fence, duration, extensions, end }]) => [
        id,
        { status: end?.reason ?? 'allocated', deviceId, fence, duration, extensions, heldMinutes: end?.minutes ?? null },
      ]),
    );
  }
}
