import { askedAllocation } from '../../shared/allocation/asked.ts';
import type { SimulatedRequest } from '../../shared/simulation/recorded.ts';
import type { RecordedRequest } from '../trace/recorded-request.ts';

/** Longest wait there is, minutes. */
const MOST_WAIT = 120;

/** A request of a recording for the simulation. @param waitMinutes  how long it waits for a device; 0: not at all */
export function recordedFrom(recorded: RecordedRequest, waitMinutes: number): SimulatedRequest {
  const { userId, tenantId, tier, durationMinutes, submittedAt, runSeconds, minCpu, minMemoryMB } = recorded;
  const specs = { ...(minCpu === undefined ? {} : { minCpu }), ...(minMemoryMB === undefined ? {} : { minMemory: minMemoryMB }) };
  const waits = waitMinutes === 0 ? {} : { queueIfBusy: true, maxWaitMinutes: Math.min(waitMinutes, MOST_WAIT) };
  const asked = askedAllocation.parse({ durationMinutes, preferredSpecs: specs, ...waits });
  return { userId, tenantId, tier, asked, atMs: submittedAt * 1_000, holdMs: runSeconds * 1_000 };
}
