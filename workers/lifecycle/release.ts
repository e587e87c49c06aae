import type { ReleaseOutcome, ReleasePayload } from '../../queues/jobs/release.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { Collector } from '../../shared/run/collector.ts';
import type { NamedRelease, ReleaseResult } from '../../shared/store/release-group.ts';

export interface ReleaseParts {
  readonly collector: Collector<NamedRelease, ReleaseResult>;
  readonly metrics: Metrics;
}

/**
 * Ends one allocation together with whatever else is being released. Safe to run twice: the second run finds it ended
 * and gives the same answer. Where the device was named, what was ended is marked with the release for that, since the device may have
 * a new holder by then.
 *
 * @throws SchedulerError STORE_UNAVAILABLE; the queue tries again
 */
export async function release({ collector, metrics }: ReleaseParts, payload: ReleasePayload): Promise<ReleaseOutcome> {
  const { releaseId, userId, tenantId, fence, endReason, allocationId, deviceId, traceId } = payload;
  faultPoint('release.1');
  const result = await collector.submit({
    userId,
    tenantId,
    fence,
    endReason,
    traceId,
    allocationId,
    deviceId: allocationId === undefined ? deviceId : undefined,
    releaseId: deviceId === undefined ? undefined : releaseId,
  });
  if (result.status === 'refused') return result;
  const { endedHere, ...outcome } = result;
  if (endedHere) metrics.allocationsEnded.inc({ reason: outcome.endReason });
  return outcome;
}
