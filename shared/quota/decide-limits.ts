import type { Refusal } from '../allocation/decide-eligibility.ts';
import type { OutagePolicy, QuotaFact } from '../allocation/facts.ts';
import type { Limits } from './limits.ts';
import type { Quota } from './quota.ts';

/** The limits to go by, or why there are none. `unchecked`: they are not what the quota service says now. */
export type LimitsDecision =
  | { readonly kind: 'limits'; readonly limits: Limits; readonly unchecked: boolean }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

const GB = 1024;

/**
 * From what the quota service said (or did not say) to the limits in force. Order: status, validity.
 *
 * @param lastKnown  the limits the service gave last time, used on an outage if the policy allows it
 */
export function decideLimits(fact: QuotaFact, lastKnown: Limits | null, policy: OutagePolicy, now: Date): LimitsDecision {
  if (fact.kind === 'none') return refused('QUOTA_NOT_FOUND', 'the user has no quota');
  if (fact.kind === 'unavailable') return onOutage(fact.reason, lastKnown, policy);
  const { quota } = fact;
  if (quota.status === 'suspended') return refused('USER_SUSPENDED', 'the quota of the user is suspended');
  if (quota.status === 'exceeded') return refused('QUOTA_EXCEEDED', 'the quota service says the quota is exceeded', exceededDetails(quota));
  if (quota.status === 'expired' || !isValidAt(quota, now)) return refused('QUOTA_EXPIRED', 'the quota is outside its validity');
  return { kind: 'limits', limits: limitsOf(quota), unchecked: fact.stale };
}

/** The limits of a quota in our units: MB instead of GB, `null` for "no limit". */
export function limitsOf(quota: Quota): Limits {
  const { limits } = quota;
  return {
    maxDevices: smaller(bound(limits.maxDevices), bound(limits.maxConcurrentDevices)),
    maxCpuPerDevice: bound(limits.maxCpuCoresPerDevice),
    maxMemoryMBPerDevice: bound(limits.maxMemoryMBPerDevice),
    maxStorageMBPerDevice: inMB(bound(limits.maxStorageGBPerDevice)),
    totalCpu: bound(limits.totalCpuCores),
    totalMemoryMB: inMB(bound(limits.totalMemoryGB)),
    totalStorageMB: inMB(bound(limits.totalStorageGB)),
  };
}

function onOutage(reason: string, lastKnown: Limits | null, policy: OutagePolicy): LimitsDecision {
  if (!policy.quotaAllowOnError) return refused('QUOTA_UNAVAILABLE', reason);
  return { kind: 'limits', limits: lastKnown ?? fallbackLimits(policy.fallbackMaxDevices), unchecked: true };
}

function fallbackLimits(maxDevices: number): Limits {
  return {
    maxDevices,
    maxCpuPerDevice: null,
    maxMemoryMBPerDevice: null,
    maxStorageMBPerDevice: null,
    totalCpu: null,
    totalMemoryMB: null,
    totalStorageMB: null,
  };
}

function refused(code: Refusal['code'], reason: string, details?: Refusal['details']): LimitsDecision {
  return { kind: 'refused', refusal: { code, reason, ...(details === undefined ? {} : { details }) } };
}

function exceededDetails(quota: Quota): Refusal['details'] {
  return { limit: 'maxDevices', max: limitsOf(quota).maxDevices, current: quota.usage?.currentDevices ?? null };
}

function isValidAt(quota: Quota, now: Date): boolean {
  const from = quota.validFrom == null ? -Infinity : Date.parse(quota.validFrom);
  const until = quota.validUntil == null ? Infinity : Date.parse(quota.validUntil);
  return now.getTime() >= from && now.getTime() < until;
}

/** Missing or negative means "no limit" in the quota service. */
function bound(limit: number | null | undefined): number | null {
  return limit == null || limit < 0 ? null : limit;
}

function inMB(limitGB: number | null): number | null {
  return limitGB === null ? null : limitGB * GB;
}

function smaller(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
