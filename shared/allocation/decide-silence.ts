/** What is known of a holder who promised to give signs of life. */
export interface HolderSigns {
  readonly allocatedAt: Date;
  readonly lastHeartbeatAt: Date | null;
  /** Longest time between two signs that was agreed, s. */
  readonly heartbeatSeconds: number;
}

export type SilenceDecision =
  | { readonly kind: 'lost' }
  /** Still there, or not silent for long enough to tell. */
  | { readonly kind: 'look-again'; readonly at: Date };

/**
 * Has the holder been silent for longer than agreed, with the grace on top?
 *
 * Silence counts only from when we could have heard: after an outage of ours every holder has the whole time anew.
 *
 * @param listeningSince  since when heartbeats could be heard without a break
 * @param graceSeconds    what is allowed on top of what was agreed, s
 */
export function decideSilence(signs: HolderSigns, listeningSince: Date, graceSeconds: number, now: Date): SilenceDecision {
  const from = Math.max(signs.allocatedAt.getTime(), signs.lastHeartbeatAt?.getTime() ?? 0, listeningSince.getTime());
  const until = from + (signs.heartbeatSeconds + graceSeconds) * 1_000;
  return until <= now.getTime() ? { kind: 'lost' } : { kind: 'look-again', at: new Date(until) };
}
