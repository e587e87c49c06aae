import type { ErrorCode } from '../errors.ts';

/**
 * Why a waiting request is passed over: its user is at a limit or blocked, or has no balance, or deciding it fails. It keeps
 * its place and is looked at again when that may have changed.
 */
export type Parked = 'QUOTA_USER' | 'BALANCE' | 'FAULT';

const PARKED_BY: Partial<Readonly<Record<ErrorCode, Parked>>> = {
  QUOTA_EXCEEDED: 'QUOTA_USER',
  QUOTA_NOT_FOUND: 'QUOTA_USER',
  QUOTA_EXPIRED: 'QUOTA_USER',
  QUOTA_UNAVAILABLE: 'QUOTA_USER',
  USER_SUSPENDED: 'QUOTA_USER',
  INSUFFICIENT_BALANCE: 'BALANCE',
  ACCOUNT_IN_ARREARS: 'BALANCE',
  BILLING_UNAVAILABLE: 'BALANCE',
};

/** What a refusal means for a request that waits: passed over for a reason that may pass, or nothing: it is refused. */
export function parkedBy(code: ErrorCode): Parked | undefined {
  return PARKED_BY[code];
}
