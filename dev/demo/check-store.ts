import type { Config } from '../../shared/config.ts';
import { checkInvariants } from '../../shared/store/invariants.ts';
import { createStore } from '../../shared/store/store.ts';
import type { Finding } from './finding.ts';

/** Long enough for a full read of everything a run leaves, ms. */
const STATEMENT_MS = 60_000;

/** Asks the product's own checker of invariants. */
export async function checkStore(databaseUrl: string, config: Config): Promise<Finding[]> {
  const store = createStore({
    databaseUrl,
    poolSize: 2,
    acquireTimeoutMs: config.DB_ACQUIRE_TIMEOUT_MS,
    statementTimeoutMs: STATEMENT_MS,
    applicationName: 'demo',
  });
  try {
    const { checks } = await checkInvariants(store);
    return checks.map(({ name, ok, violations, sample }) => ({
      name,
      ok,
      seen: violations === 0 ? '' : `${violations} violations, such as ${sample.join(', ')}`,
    }));
  } finally {
    await store.close();
  }
}
