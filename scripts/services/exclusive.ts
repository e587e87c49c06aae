import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { numberIn, PLACE } from './place.ts';
import { isAlive, until } from './probe.ts';
import { during } from './progress.ts';

const LOCK = join(PLACE, 'lock');
const LONGEST_MS = 15 * 60_000;

/** Two commands at once take turns. A lock whose process is gone is nobody's. */
export async function withLock(work: () => Promise<void>): Promise<void> {
  mkdirSync(PLACE, { recursive: true, mode: 0o755 });
  await during(
    'another command works on the servers',
    until('The end of another command', LONGEST_MS, async () => take()),
  );
  try {
    await work();
  } finally {
    rmSync(LOCK, { force: true });
  }
}

function take(): boolean {
  try {
    writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    const holder = numberIn(LOCK);
    if (holder !== undefined && !isAlive(holder)) rmSync(LOCK, { force: true });
    return false;
  }
}
