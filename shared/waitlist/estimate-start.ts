/** A running lease of a device that a waiting request could use. */
export interface RunningLease {
  readonly allocatedAt: Date;
  readonly expiresAt: Date;
}

/** How much of their time leases were kept lately: half of them at most `p50`, nine in ten at most `p90` (0..1). */
export interface KeptShare {
  readonly p50: number;
  readonly p90: number;
}

/** When a device is expected: as likely before as after `p50`, and nine in ten before `p90`. */
export interface StartEstimate {
  readonly p50: Date;
  readonly p90: Date;
}

/** Without recent ends to go by, everybody is expected to keep their device to the end. */
export const KEPT_TO_THE_END: KeptShare = { p50: 1, p90: 1 };

/**
 * When the request at this position is expected to get a device: the position-th end among the running leases of devices
 * it could use. Those ends are known; people give back earlier by what they did lately. Behind more people than there are
 * devices, the devices go round again, each for as long as a lease takes. Only those ahead who compete for the same devices
 * count in the position, so somebody who is passed by others lets nobody's estimate grow.
 *
 * @param position  1 is next
 * @returns undefined when nothing is running to go by
 */
export function estimateStart(position: number, running: readonly RunningLease[], kept: KeptShare, now: Date): StartEstimate | undefined {
  if (running.length === 0) return undefined;
  const p50 = startAt(position, running, kept.p50, now);
  const p90 = startAt(position, running, Math.max(kept.p50, kept.p90), now);
  return { p50: new Date(p50), p90: new Date(Math.max(p50, p90)) };
}

function startAt(position: number, running: readonly RunningLease[], share: number, now: Date): number {
  const left = running.map(({ expiresAt }) => Math.max(0, expiresAt.getTime() - now.getTime()) * share).sort((a, b) => a - b);
  const lengths = running.map(({ allocatedAt, expiresAt }) => expiresAt.getTime() - allocatedAt.getTime()).sort((a, b) => a - b);
  const typical = (lengths[Math.floor(lengths.length / 2)] ?? 0) * share;
  const index = (position - 1) % left.length;
  const rounds = Math.floor((position - 1) / left.length);
  return Math.round(now.getTime() + (left[index] ?? 0) + rounds * typical);
}
