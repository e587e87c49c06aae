import { tellExpiringSoon } from '../../shared/store/expiring-soon.ts';
import type { Store } from '../../shared/store/store.ts';

const NOTICE_MINUTES = 10;
/** Holders told in one transaction. */
const BATCH = 500;

/** Tells every holder whose time ends within ten minutes and who has not been told. @returns how many */
export async function tellAllExpiringSoon(store: Store, signal: AbortSignal): Promise<{ told: number }> {
  for (let told = 0; ; ) {
    signal.throwIfAborted();
    const batch = await tellExpiringSoon(store, NOTICE_MINUTES, BATCH);
    told += batch;
    if (batch < BATCH) return { told };
  }
}
