import { setTimeout as pause } from 'node:timers/promises';
import type { Finding } from '../dev/demo/finding.ts';
import { messageOf } from '../shared/errors.ts';
import type { Stage } from './stage.ts';

/** A promise with a time in it. */
interface TimedRule {
  readonly name: string;
  /** A row `id` for each thing that is older than its bound. */
  readonly late: string;
}

/** Where a device is free for longer than 5 s that nobody may say no to, and who has waited for longer: nothing was asked for that it has not. */
export const IDLE_WITH_WAITERS = `
  SELECT r.id FROM requests r WHERE r.status = 'waiting' AND r.parked IS NULL AND r.asked -> 'devicePreferences' IS NULL AND r.asked -> 'preferredSpecs' IS NULL
    AND r.waiting_since < now() - interval '5 seconds' AND EXISTS (
      SELECT FROM devices d WHERE d.status = 'running' AND d.allocation_id IS NULL AND NOT d.draining AND d.cleaning_until IS NULL AND d.updated_at < now() - interval '5 seconds'
        AND NOT EXISTS (SELECT FROM reservations v WHERE v.device_id = d.id AND v.status IN ('pending', 'confirmed')))`;

const RULES: readonly TimedRule[] = [
  {
    name: 'no lease was ever 15 s past its end',
    late: `SELECT id FROM allocations WHERE status = 'allocated' AND expires_at < now() - interval '15 seconds'`,
  },
  { name: 'nobody ever waited 5 s beside a free device', late: IDLE_WITH_WAITERS },
  {
    name: 'no request was ever 15 s past its deadline',
    late: `SELECT id FROM requests WHERE status IN ('pending', 'waiting') AND deadline < now() - interval '15 seconds'`,
  },
  {
    name: 'no reservation was ever left lying for 15 s',
    late: `SELECT id FROM reservations WHERE status IN ('pending', 'confirmed') AND greatest(starts_at, next_attempt_at) < now() - interval '15 seconds'`,
  },
];

/** Looks all the time at what has to happen in time. What it has once seen stays seen, whatever becomes of it later. */
export interface Watch {
  /** Nothing is wrong from now on, and soon everybody is back at work. */
  calm(): void;
  /** Something is wrong on purpose: what is late has an excuse. */
  excuse(): void;
  /** Looks once. */
  look(): Promise<void>;
  findings(): readonly Finding[];
  close(): Promise<void>;
}

const LOOK_EVERY_MS = 500;
/** So long after a fault whoever died is replaced, and what it had in hand is taken over: the lock of a job and the look for it. ms. */
const RECOVERY_MS = 30_000;

/**
 * @param recoveryMs  how long after a fault lateness has an excuse, ms
 * @param everyMs     between two looks, ms; 0: only when asked
 */
export function openWatch({ sql }: Pick<Stage, 'sql'>, { recoveryMs = RECOVERY_MS, everyMs = LOOK_EVERY_MS } = {}): Watch {
  const seen = new Map<string, Set<string>>(RULES.map(({ name }) => [name, new Set()]));
  const ended = new AbortController();
  // Nothing has been wrong before the first round.
  let excusedUntil = 0;
  let looks = 0;

  async function look(): Promise<void> {
    for (const { name, late } of RULES) {
      const began = performance.now();
      const rows = await sql<{ id: string }>(late);
      if (began < excusedUntil) continue;
      looks += 1;
      for (const { id } of rows) seen.get(name)?.add(id);
    }
  }

  async function keepLooking(): Promise<void> {
    while (everyMs > 0 && !ended.signal.aborted) {
      await look().catch((error: unknown) => {
        // A database that is away on purpose has nothing to show; one that is away otherwise is a fault of chaos itself.
        if (performance.now() >= excusedUntil) seen.get(RULES[0]?.name ?? '')?.add(messageOf(error));
      });
      await pause(everyMs, undefined, { signal: ended.signal }).catch((error: unknown) => {
        if (!ended.signal.aborted) throw error;
      });
    }
  }

  const looking = keepLooking();
  return {
    calm: () => {
      if (excusedUntil === Infinity) excusedUntil = performance.now() + recoveryMs;
    },
    excuse: () => {
      excusedUntil = Infinity;
    },
    look,
    findings: () =>
      [...seen].map(([name, ids]) => ({
        name,
        ok: ids.size === 0,
        seen: ids.size === 0 ? `nothing in ${looks} looks` : [...ids].slice(0, 3).join(', '),
      })),
    close: async () => {
      ended.abort();
      await looking;
    },
  };
}
