import type { ErrorCode, ErrorDetails } from '../errors.ts';
import type { AllocationRequest } from './facts.ts';

/** What the holder of a device is told. Times are ISO 8601 in UTC. No connection secret is in here: it passes through queues. */
export interface GrantedAllocation {
  readonly allocationId: string;
  readonly deviceId: string;
  readonly deviceName: string;
  readonly deviceStatus: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly allocatedAt: string;
  readonly expiresAt: string;
  readonly durationMinutes: number;
  readonly fence: number;
  readonly strategy: string;
}

/** The closed set of answers to an allocation request. */
export type AllocateOutcome =
  | { readonly status: 'granted'; readonly requestId: string; readonly allocation: GrantedAllocation }
  | {
      readonly status: 'refused';
      readonly requestId: string;
      readonly code: ErrorCode;
      readonly reason: string;
      readonly details?: ErrorDetails;
    }
  | { readonly status: 'waiting'; readonly requestId: string; readonly reason: string }
  | { readonly status: 'cancelled' | 'timed_out'; readonly requestId: string; readonly code: 'REQUEST_CANCELLED' | 'REQUEST_TIMED_OUT' };

/** A request that is over, and whom to tell. */
export interface EndedRequest {
  readonly requestId: string;
  readonly source: AllocationRequest['source'];
  readonly replyTo: string | null;
  readonly outcome: AllocateOutcome;
}

/** A request whose time was over. */
export interface LateRequest extends EndedRequest {
  /** Whether it was told an estimate, and nine in ten should have had a device by now. */
  readonly overdue: boolean;
}
