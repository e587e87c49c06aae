import { checkInvariants } from '../../shared/store/invariants.ts';
import type { Store } from '../../shared/store/store.ts';

/** The broken rules, as sentences; empty when all hold. */
export async function readInvariants(store: Store): Promise<string[]> {
  const { checks } = await checkInvariants(store);
  return checks.filter(({ ok }) => !ok).map(({ name, violations, sample }) => `${name}: ${violations} (${sample.join(', ')})`);
}
