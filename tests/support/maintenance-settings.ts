import { schedulesFor } from '../../queues/schedules.ts';
import { RENEWAL_POLICIES } from '../../shared/renewal/policy.ts';
import type { MaintenanceDependencies } from '../../workers/maintenance/start-maintenance.ts';

/** What the schedulers of tests are told: the usual times, every balance allowed. */
export const MAINTENANCE = {
  cleaningSeconds: 0,
  heartbeatGraceSeconds: 10,
  retention: { allocationDays: 30, idempotencyHours: 24, outboxDays: 2, inboxDays: 30 },
  autoExtend: {
    balance: { balanceOf: async () => ({ kind: 'allowed', status: 'ok', balance: 100 }) },
    rules: { policies: RENEWAL_POLICIES, billingAllowOnError: true },
    leadSeconds: 120,
  },
  schedules: schedulesFor({ expiryTickSeconds: 1, cleanupTimeZone: 'UTC' }),
} as const satisfies Partial<MaintenanceDependencies>;
