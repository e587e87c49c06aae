import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** Notes that a scheduled job ran: the heartbeat by which a schedule that fell silent is seen. */
export async function noteRun(store: Store, job: string, durationMs: number, result: unknown): Promise<void> {
  await translated(store.prisma.$executeRaw`
    INSERT INTO scheduled_runs (job, last_run_at, last_duration_ms, last_result)
    VALUES (${job}, now(), ${Math.round(durationMs)}::int, ${JSON.stringify(result)}::jsonb)
    ON CONFLICT (job) DO UPDATE SET last_run_at = excluded.last_run_at, last_duration_ms = excluded.last_duration_ms, last_result = excluded.last_result`);
}
