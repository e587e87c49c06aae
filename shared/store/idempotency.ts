import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** One call that may be repeated: who makes it, under which key, and what exactly. */
export interface KeyedCall {
  readonly caller: string;
  readonly key: string;
  /** Method and path: the same key on another route is another call. */
  readonly route: string;
  /** SHA-256 of the body; `null` for a streamed body that has not been read yet. */
  readonly bodyHash: string | null;
}

/** The body hash of a row whose body is still being streamed. */
const UNREAD = 'unread';

/** The outcome given the first time. */
export interface StoredAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The hash of the body it answered, for callers that could not say theirs when they claimed. */
  readonly bodyHash: string;
}

/**
 * What a call with a key finds.
 *
 * `mine`: it is the first, or the first one died; `since` tells two lives of a key apart. `running`: the first still
 * works on it. `answered`: so it was, `ageSeconds` ago. `reused`: the key was used for something else.
 */
export type Claim =
  | { readonly kind: 'mine'; readonly since: Date }
  | { readonly kind: 'running' }
  | { readonly kind: 'answered'; readonly answer: StoredAnswer; readonly ageSeconds: number }
  | { readonly kind: 'reused' };

interface ClaimRow {
  mine: boolean;
  created_at: Date;
  route: string;
  body_hash: string;
  status_code: number | null;
  headers: Record<string, string> | null;
  body: string | null;
  age: number | null;
}

/**
 * Takes a key, takes it over from a call that died, or says what became of it. One statement unless two meet on a new key.
 *
 * @param leaseSeconds  how long the key is held without `renewKey` before another call may take it over
 */
export async function claimKey(store: Store, call: KeyedCall, leaseSeconds: number): Promise<Claim> {
  const rows = await translated(
    store.prisma.$queryRaw<ClaimRow[]>`
      WITH taken AS (
        INSERT INTO idempotency_keys (caller, key, route, body_hash, locked_until)
        VALUES (${call.caller}, ${call.key}, ${call.route}, ${call.bodyHash ?? UNREAD}, now() + make_interval(secs => ${leaseSeconds}::float8))
        ON CONFLICT (caller, key) DO UPDATE SET locked_until = EXCLUDED.locked_until
          WHERE idempotency_keys.status_code IS NULL AND idempotency_keys.locked_until < now()
            AND idempotency_keys.route = EXCLUDED.route AND idempotency_keys.body_hash = EXCLUDED.body_hash
        RETURNING created_at
      )
      SELECT true AS mine, created_at, '' AS route, '' AS body_hash, NULL::int AS status_code, NULL::jsonb AS headers, NULL::text AS body, NULL::float8 AS age FROM taken
      UNION ALL
      SELECT false, created_at, route, body_hash, status_code, headers, body, extract(epoch FROM now() - coalesce(answered_at, created_at))::float8
      FROM idempotency_keys
      WHERE caller = ${call.caller} AND key = ${call.key} AND NOT EXISTS (SELECT 1 FROM taken)`,
  );
  const row = rows[0];
  // No row at all: another call inserted it after this statement's snapshot. It is running, or will be seen by the next look.
  if (row === undefined) return { kind: 'running' };
  if (row.mine) return { kind: 'mine', since: row.created_at };
  if (row.route !== call.route || (call.bodyHash !== null && row.body_hash !== call.bodyHash)) return { kind: 'reused' };
  if (row.status_code === null) return { kind: 'running' };
  return {
    kind: 'answered',
    answer: { statusCode: row.status_code, headers: row.headers ?? {}, body: row.body ?? '', bodyHash: row.body_hash },
    ageSeconds: row.age ?? 0,
  };
}

/** Keeps a key that is still being worked on. */
export async function renewKey(store: Store, call: KeyedCall, leaseSeconds: number): Promise<void> {
  await translated(
    store.prisma.$executeRaw`
      UPDATE idempotency_keys SET locked_until = now() + make_interval(secs => ${leaseSeconds}::float8)
      WHERE caller = ${call.caller} AND key = ${call.key} AND status_code IS NULL`,
  );
}

/** Stores the outcome. If a take-over was faster, its outcome stays. */
export async function answerKey(store: Store, call: KeyedCall, answer: StoredAnswer): Promise<void> {
  await translated(
    store.prisma.$executeRaw`
      UPDATE idempotency_keys
      SET status_code = ${answer.statusCode}::int, headers = ${JSON.stringify(answer.headers)}::jsonb, body = ${answer.body}, body_hash = ${answer.bodyHash},
        answered_at = now()
      WHERE caller = ${call.caller} AND key = ${call.key} AND status_code IS NULL`,
  );
}

/** Forgets a key whose call failed on our side, so that asking again really asks again. */
export async function forgetKey(store: Store, call: KeyedCall): Promise<void> {
  await translated(
    store.prisma.$executeRaw`DELETE FROM idempotency_keys WHERE caller = ${call.caller} AND key = ${call.key} AND status_code IS NULL`,
  );
}
