import type { ReleaseBatchOutcome, ReleaseBatchPayload } from '../../queues/jobs/release-batch.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { Collector } from '../../shared/run/collector.ts';
import type { NamedRelease, ReleaseResult } from '../../shared/store/release-group.ts';

export interface ReleaseBatchParts {
  /** One batch a transaction, a few at once. */
  readonly batches: Collector<readonly NamedRelease[], ReleaseResult[]>;
  readonly metrics: Metrics;
}

/**
 * Ends the allocations of a batch in one transaction; each by the rules of a single release. Safe to run twice.
 *
 * @throws SchedulerError STORE_UNAVAILABLE; the queue tries again
 */
export async function releaseBatch({ batches, metrics }: ReleaseBatchParts, payload: ReleaseBatchPayload): Promise<ReleaseBatchOutcome> {
  const { batchId, allocationIds, userId, tenantId, endReason } = payload;
  const results = await batches.submit(
    allocationIds.map((allocationId) => ({ userId, tenantId, endReason, allocationId, deviceId: undefined, fence: undefined })),
  );
  const endedHere = results.filter((result) => result.status === 'released' && result.endedHere).length;
  metrics.allocationsEnded.inc({ reason: endReason }, endedHere);
  return { batchId, outcomes: results.map(withoutMark) };
}

function withoutMark(result: ReleaseResult): ReleaseBatchOutcome['outcomes'][number] {
  if (result.status === 'refused') return result;
  const { endedHere: _endedHere, ...outcome } = result;
  return outcome;
}
