import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** A change somebody is about to make, or that they came or went. `details` holds no secret: whoever writes it takes them out. */
export interface AuditWords {
  readonly actor: string;
  readonly role: 'viewer' | 'operator';
  readonly action: string;
  readonly target: string;
  readonly details: unknown;
  readonly address: string;
  /** UUID of the call. */
  readonly requestId: string;
}

/** A change that was made or tried; `status` is nothing while nobody knows how it went. */
export interface AuditEntry extends Omit<AuditWords, 'requestId' | 'address'> {
  readonly id: string;
  readonly at: Date;
  readonly status: number | null;
}

const LONGEST = 200;

/** Notes a change before it is made. @throws STORE_UNAVAILABLE, and then nothing may be changed */
export async function beginAudit(store: Store, words: AuditWords): Promise<void> {
  const { actor, role, action, target, details, address, requestId } = words;
  await translated(store.prisma.$executeRaw`
    INSERT INTO audit (actor, role, action, target, details, address, request_id)
    VALUES (${actor}, ${role}, ${action.slice(0, LONGEST)}, ${target.slice(0, LONGEST)}, ${JSON.stringify(details)}::jsonb, ${address}, ${requestId}::uuid)`);
}

/** Notes how it went, by the status it was answered with. */
export async function endAudit(store: Store, requestId: string, status: number): Promise<void> {
  await translated(
    store.prisma.$executeRaw`UPDATE audit SET status = ${status}::int WHERE request_id = ${requestId}::uuid AND status IS NULL`,
  );
}

/** The newest changes; who came and went is none. */
export async function readAudit(store: Store, limit: number): Promise<readonly AuditEntry[]> {
  return translated(store.prisma.$queryRaw<AuditEntry[]>`
    SELECT id::text AS "id", at, actor, role, action, target, details, status FROM audit
    WHERE action NOT IN ('login', 'logout') ORDER BY audit.id DESC LIMIT ${limit}::int`);
}
