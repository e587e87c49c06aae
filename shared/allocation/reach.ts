/** Whose rows a caller may see: everybody's, those of a tenant and their own, or only their own. */
export type Reach =
  | { readonly kind: 'all' }
  | { readonly kind: 'tenant'; readonly tenantId: string | null; readonly userId: string }
  | { readonly kind: 'user'; readonly userId: string };

/** Whether what belongs to this user of this tenant lies within reach. What does not, does not exist for the caller. */
export function isWithinReach(reach: Reach, owner: { readonly userId: string; readonly tenantId: string | null }): boolean {
  if (reach.kind === 'all') return true;
  if (reach.userId === owner.userId) return true;
  return reach.kind === 'tenant' && reach.tenantId === owner.tenantId;
}
