import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../dev/cluster/ports.ts';

/** A process of its own that answers with the value of a key. */
export async function startRawRead(redisUrl: string, key: string): Promise<{ url: string; close: () => Promise<void> }> {
  const port = await freePort();
  const file = fileURLToPath(new URL('raw-read.ts', import.meta.url));
  const child = spawn(process.execPath, [file, String(port), redisUrl, key], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    ended.then(() => {
      throw new Error('the reference server ended at its start');
    }),
  ]);
  return {
    url: `http://127.0.0.1:${port}/`,
    close: async () => {
      child.kill();
      await ended;
    },
  };
}
