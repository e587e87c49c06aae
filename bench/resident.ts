import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const LOOK_MS = 200;
const KB_PER_MB = 1024;

/** What a process has in memory, MB. @throws Error when it is gone */
export async function residentOf(pid: number): Promise<number> {
  const kilobytes = process.platform === 'linux' ? await fromProc(pid) : await fromPs(pid);
  return kilobytes / KB_PER_MB;
}

async function fromProc(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}

async function fromPs(pid: number): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]);
  return Number(stdout);
}

/** Looks at a process five times a second. `stop` gives what was seen, MB, in order. */
export function watchResident(pid: number): { stop(): Promise<readonly number[]> } {
  const stopped = new AbortController();
  const seen: number[] = [];
  const watching = (async () => {
    while (!stopped.signal.aborted) {
      seen.push(await residentOf(pid));
      await pause(LOOK_MS);
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await watching;
      return seen;
    },
  };
}
