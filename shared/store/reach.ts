import { Prisma } from '../../prisma/generated/client.ts';
import type { Reach } from '../allocation/reach.ts';

export type { Reach } from '../allocation/reach.ts';

/** The reach as a condition on `user_id` and `tenant_id` of a table; `alias` is the table's name in the statement. */
export function withinReach(reach: Reach, alias: string): Prisma.Sql {
  const column = (name: string) => Prisma.raw(`${alias}.${name}`);
  if (reach.kind === 'all') return Prisma.sql`true`;
  if (reach.kind === 'user') return Prisma.sql`${column('user_id')} = ${reach.userId}`;
  const sameTenant =
    reach.tenantId === null ? Prisma.sql`${column('tenant_id')} IS NULL` : Prisma.sql`${column('tenant_id')} = ${reach.tenantId}`;
  return Prisma.sql`(${sameTenant} OR ${column('user_id')} = ${reach.userId})`;
}
