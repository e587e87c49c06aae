/** Variables whose values an admin may read. A list of what is allowed, so that a new secret is never among them. */
export const PUBLIC_SETTINGS = [
  'NODE_ENV',
  'LOG_LEVEL',
  'PORT',
  'QUEUE_PREFIX',
  'TRUST_PROXY',
  'DB_POOL_SIZE',
  'WORKER_CONCURRENCY',
  'GROUP_COMMIT_MAX',
  'GROUP_COMMIT_PARALLEL',
  'USER_LOCKS',
  'MAX_WAITING_JOBS',
  'AVAILABLE_CACHE_TTL',
  'TURNAROUND_SECONDS',
  'CLEANING_TIMEOUT',
  'EXPIRY_TICK',
  'AUTO_EXTEND_LEAD',
  'HEARTBEAT_GRACE',
  'SHUTDOWN_TIMEOUT',
  'QUOTA_ALLOW_ON_ERROR',
  'QUOTA_FALLBACK_MAX_DEVICES',
  'QUOTA_CACHE_TTL',
  'BILLING_ALLOW_ON_ERROR',
  'BILLING_RESERVE_FULL_TERM',
  'BALANCE_CACHE_TTL',
  'BILLING_MAX_ATTEMPTS',
  'DELIVERY_BACKOFF_BASE_MS',
  'DELIVERY_BACKOFF_MAX_MS',
  'RATE_LIMIT_READ',
  'RATE_LIMIT_WRITE',
  'RATE_LIMIT_BATCH',
  'RATE_LIMIT_SERVICE_FACTOR',
  'RETENTION_DAYS',
  'IDEMPOTENCY_RETENTION_HOURS',
  'CLEANUP_TZ',
] as const;

type PublicSetting = (typeof PUBLIC_SETTINGS)[number];

/** The settings of the list, from everything that was configured. */
export function publicSettings(
  config: Readonly<Record<PublicSetting, string | number | boolean> & { RENEWAL_POLICIES: object }>,
): Readonly<Record<string, string | number | boolean>> {
  return {
    ...Object.fromEntries(PUBLIC_SETTINGS.map((name) => [name, config[name]])),
    // As JSON, like the variable itself; no limit is null.
    RENEWAL_POLICIES: JSON.stringify(config.RENEWAL_POLICIES),
  };
}
