import type { AllocateOutcome } from '../shared/allocation/outcome.ts';
import type { ErrorDetails } from '../shared/errors.ts';
import type { CancelOutcome } from './jobs/cancel.ts';
import type { ExtendedItem, ExtendOutcome } from './jobs/extend.ts';
import type { JoinOutcome } from './jobs/join.ts';
import type { ReleaseOutcome } from './jobs/release.ts';
import type { ReserveJobOutcome } from './jobs/reserve.ts';

/** Not decided within the time given: nothing is lost, ask `waitFor(requestId)` or `status(requestId)`. */
export interface StillPending {
  readonly status: 'pending';
  readonly requestId: string;
}

/** The request did not get into the queue: it is not known to the scheduler. */
export interface NotAccepted {
  readonly status: 'refused';
  readonly requestId: string;
  readonly code: 'VALIDATION_FAILED' | 'OVERLOADED';
  readonly reason: string;
  readonly details?: ErrorDetails;
}

/** What becomes of an allocation request: `granted`, `refused`, `waiting`, `cancelled`, `timed_out` or `pending`. */
export type AllocateResult = AllocateOutcome | NotAccepted | StillPending;

/** What is known of a request. `unknown`: Redis knows no such job (any more); the HTTP API may still know the request. */
export type RequestStatus = AllocateOutcome | StillPending | { readonly status: 'unknown'; readonly requestId: string };

/** What becomes of a release. `pending`: it will be carried out, but was not within the time given; repeat it with the same `releaseId`. */
export type ReleaseResult =
  | ReleaseOutcome
  | { readonly status: 'pending'; readonly releaseId: string }
  | { readonly status: 'refused'; readonly code: 'VALIDATION_FAILED'; readonly details?: ErrorDetails };

/** What becomes of an extension. `pending`: not carried out within the time given; repeat it with the same `extendId`. */
export type ExtendResult =
  | ExtendedItem
  | { readonly status: 'pending'; readonly extendId: string }
  | { readonly status: 'refused'; readonly code: 'VALIDATION_FAILED'; readonly reason: string; readonly details?: ErrorDetails };

/** What becomes of a cancellation. */
export type CancelResult = CancelOutcome | StillPending;

const ALLOCATE_STATUSES: readonly unknown[] = [
  'granted',
  'refused',
  'waiting',
  'cancelled',
  'timed_out',
] satisfies AllocateOutcome['status'][];

/** Whether a value out of Redis is the outcome of this request. */
export function isAllocateOutcome(value: unknown): value is AllocateOutcome {
  return hasStatus(value, ALLOCATE_STATUSES) && 'requestId' in value;
}

export function isReleaseOutcome(value: unknown): value is ReleaseOutcome {
  return hasStatus(value, ['released', 'refused']);
}

export function isExtendOutcome(value: unknown): value is ExtendOutcome {
  return hasStatus(value, ['done']) && 'items' in value && Array.isArray(value.items);
}

export function isCancelOutcome(value: unknown): value is CancelOutcome {
  return hasStatus(value, ['cancelled', 'refused']) && 'requestId' in value;
}

function hasStatus(value: unknown, statuses: readonly unknown[]): value is { status: unknown } {
  return typeof value === 'object' && value !== null && 'status' in value && statuses.includes(value.status);
}

/** What becomes of a reservation. `pending`: it was not decided within the time given; ask again with the same id. */
export type ReserveResult =
  | ReserveJobOutcome
  | { readonly status: 'pending'; readonly reservationId: string }
  | {
      readonly status: 'refused';
      readonly reservationId: string;
      readonly code: 'VALIDATION_FAILED';
      readonly reason: string;
      readonly details?: ErrorDetails;
    };

export function isReserveOutcome(value: unknown): value is ReserveJobOutcome {
  return hasStatus(value, ['reserved', 'refused']);
}

/** What becomes of joining the waiting queue. `pending`: not carried out within the time given; repeat it with the same id. */
export type JoinResult =
  | JoinOutcome
  | StillPending
  | {
      readonly status: 'refused';
      readonly requestId: string;
      readonly code: 'VALIDATION_FAILED';
      readonly reason: string;
      readonly details?: ErrorDetails;
    };

/** An entry is a request: it has the outcomes of one. */
export function isJoinOutcome(value: unknown): value is JoinOutcome {
  return isAllocateOutcome(value);
}
