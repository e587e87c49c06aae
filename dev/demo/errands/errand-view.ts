/** What the store says of the errands. */
export const ERRAND_FIGURES = {
  bookingsBegun: `FROM reservations WHERE user_id LIKE 'demo-booker-%' AND allocation_id IS NOT NULL`,
  arrearsEnded: `FROM allocations WHERE user_id LIKE 'demo-debtor-%' AND end_reason = 'arrears'`,
  arrearsEntries: `FROM requests WHERE user_id LIKE 'demo-debtor-%' AND joined AND status = 'cancelled'`,
  arrearsReservations: `FROM reservations WHERE user_id LIKE 'demo-debtor-%' AND status = 'cancelled'`,
  arrearsRefused: `FROM requests WHERE user_id LIKE 'demo-debtor-%' AND status = 'refused' AND code = 'ACCOUNT_IN_ARREARS'`,
  arrearsLetIn: `FROM allocations WHERE user_id LIKE 'demo-debtor-%' AND end_reason = 'released'`,
  inArrears: 'FROM users WHERE arrears_since IS NOT NULL',
  automatic: 'FROM extensions WHERE automatic',
  outlived: `FROM allocations WHERE user_id LIKE 'demo-renewer-%' AND ended_at > allocated_at + interval '1 minute' AND end_reason = 'released'`,
  holdersLost: `FROM allocations WHERE end_reason = 'holder_lost' AND user_id LIKE 'demo-silent-%'`,
  holdersKept: `FROM allocations WHERE end_reason = 'released' AND user_id LIKE 'demo-beating-%' AND last_heartbeat_at IS NOT NULL`,
  daysBooked: `FROM reservations WHERE series_id IS NOT NULL AND status <> 'failed'`,
  daysBegun: 'FROM reservations WHERE series_id IS NOT NULL AND allocation_id IS NOT NULL',
  daysCancelled: `FROM reservations WHERE series_id IS NOT NULL AND status = 'cancelled'`,
  queueServed: `FROM requests WHERE user_id LIKE 'demo-joiner-%' AND joined AND status = 'granted'`,
  queueByClient: `FROM requests WHERE user_id LIKE 'demo-joiner-%' AND joined AND status = 'granted' AND source = 'client'`,
  queueLeft: `FROM requests WHERE user_id LIKE 'demo-leaver-%' AND joined AND status = 'cancelled'`,
  batchReleased: `FROM allocations WHERE user_id LIKE 'demo-batch-%' AND end_reason = 'batch_released'`,
  batchExtended: `FROM extensions e JOIN allocations a ON a.id = e.allocation_id WHERE a.user_id LIKE 'demo-batch-%'`,
  together: `FROM allocations WHERE user_id LIKE 'demo-together-%'`,
  nobody: `FROM allocations WHERE user_id LIKE 'demo-nobody-%'`,
  ordersGranted: `FROM requests WHERE caller = 'service:orders' AND status = 'granted'`,
  ordersRefused: `FROM requests WHERE caller = 'service:orders' AND status = 'refused'`,
  ordersReleased: `FROM allocations WHERE end_reason = 'order_released'`,
  deviceFailed: `FROM allocations WHERE end_reason = 'device_failed'`,
  relocated: `FROM requests WHERE caller = 'service:listener' AND status = 'granted'`,
  devicesDown: `FROM devices WHERE status <> 'running'`,
} as const satisfies Readonly<Record<string, string>>;

export type ErrandFigures = Readonly<Record<keyof typeof ERRAND_FIGURES, number>>;

/** One statement that counts them all. */
export const COUNT_ERRANDS = `SELECT ${Object.entries(ERRAND_FIGURES)
  .map(([name, from]) => `(SELECT count(*)::int ${from}) AS "${name}"`)
  .join(', ')}`;
