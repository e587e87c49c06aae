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

/** The parts of a reach that each have an index: a condition with OR over both would be read from end to end. They do not overlap. */
export function partsOf(reach: Reach, alias: string): Prisma.Sql[] {
  if (reach.kind !== 'tenant') return [withinReach(reach, alias)];
  const { tenantId, userId } = reach;
  const tenant = Prisma.raw(`${alias}.tenant_id`);
  const user = Prisma.sql`${Prisma.raw(`${alias}.user_id`)} = ${userId}`;
  if (tenantId === null) return [Prisma.sql`${tenant} IS NULL`, Prisma.sql`${user} AND ${tenant} IS NOT NULL`];
  return [Prisma.sql`${tenant} = ${tenantId}`, Prisma.sql`${user} AND ${tenant} IS DISTINCT FROM ${tenantId}`];
}
