import type { EndReason } from './end-reason.ts';

/** Who releases what. `userId` null: may act for everybody; `tenantId`: an administrator of that tenant only. */
export interface ReleaseRequest {
  readonly userId: string | null;
  readonly tenantId: string | null;
  readonly fence: number | undefined;
  readonly endReason: EndReason;
}

/** The allocation that a release is about: the one named, or of the named device the one this release has ended before, else the newest. */
export interface ReleaseFacts {
  readonly allocationId: string;
  readonly deviceId: string;
  readonly userId: string;
  readonly tenantId: string | null;
  /** The lowest fence that may still act: the device's when the device was named and nothing ended yet by this release, else the allocation's own. */
  readonly currentFence: number;
  readonly ended: { readonly durationSeconds: number; readonly endReason: EndReason } | null;
}

export type ReleaseDecision =
  | { readonly kind: 'end' }
  /** The same holder asks again: the same answer. */
  | { readonly kind: 'ended-before'; readonly durationSeconds: number; readonly endReason: EndReason }
  | {
      readonly kind: 'refused';
      readonly code: 'ALLOCATION_NOT_FOUND' | 'STALE_FENCE';
      readonly details?: { readonly fence: number; readonly current: number };
    };

/**
 * May this release end this allocation? What belongs to somebody else does not exist for the caller; a fence older than
 * the device's belongs to a lease that is over.
 */
export function decideRelease(request: ReleaseRequest, facts: ReleaseFacts | undefined): ReleaseDecision {
  if (facts === undefined || !mayRelease(request, facts)) return { kind: 'refused', code: 'ALLOCATION_NOT_FOUND' };
  if (request.fence !== undefined && request.fence < facts.currentFence) {
    return { kind: 'refused', code: 'STALE_FENCE', details: { fence: request.fence, current: facts.currentFence } };
  }
  return facts.ended === null ? { kind: 'end' } : { kind: 'ended-before', ...facts.ended };
}

function mayRelease(request: ReleaseRequest, facts: ReleaseFacts): boolean {
  if (request.userId !== null && request.userId !== facts.userId) return false;
  return request.tenantId === null || request.tenantId === facts.tenantId;
}
