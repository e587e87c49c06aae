/** Every way an allocation can end. Said on every end: in the row, the ledger, the events. */
export const END_REASONS = [
  'released',
  'batch_released',
  'admin_released',
  'expired',
  'holder_lost',
  'device_failed',
  'device_maintenance',
  'device_deleted',
  'user_deleted',
  'user_suspended',
  'quota_reduced',
  'arrears',
  'reservation_ended',
  'no_show',
  'order_released',
] as const;

export type EndReason = (typeof END_REASONS)[number];
