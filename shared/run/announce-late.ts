import type { LateRequest } from '../allocation/outcome.ts';
import type { Metrics } from '../metrics.ts';
import { type AnnounceEndedParts, announceEnded } from './announce-ended.ts';

/** Tells and counts, after the commit, the requests whose time was over. */
export async function announceLate(parts: AnnounceEndedParts & { readonly metrics: Metrics }, late: readonly LateRequest[]): Promise<void> {
  parts.metrics.decisions.inc({ outcome: 'timed_out', code: 'REQUEST_TIMED_OUT' }, late.length);
  // Else the estimates would be judged by those only who got a device.
  parts.metrics.waitEstimates.inc({ within: 'late' }, late.filter(({ overdue }) => overdue).length);
  await announceEnded(parts, late);
}
