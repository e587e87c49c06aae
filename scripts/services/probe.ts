import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const PROBE_MS = 1_000;
const BETWEEN_MS = 50;

/**
 * Connects, says `greeting` and looks whether the answer starts as expected.
 *
 * @param expected  what the first bytes must be; empty = being connected is enough
 */
export function answersOn(port: number, greeting: string | Uint8Array, expected: RegExp, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PROBE_MS, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => finish(false));
    socket.once('connect', () => {
      if (expected.source === '(?:)') finish(true);
      else socket.write(greeting);
    });
    socket.once('data', (data) => finish(expected.test(data.toString('latin1'))));
  });
}

/** Whether anything at all listens there. */
export function isTaken(port: number, host?: string): Promise<boolean> {
  return answersOn(port, '', /(?:)/, host);
}

/** The wanted port, or the next one nobody listens on. */
export async function freePort(wanted: number): Promise<number> {
  for (let port = wanted; port < wanted + 100; port += 1) if (!(await isTaken(port))) return port;
  throw new Error(`No free port between ${wanted} and ${wanted + 99}.`);
}

/** Asks again until the answer is yes. Throws after `timeoutMs` with what was waited for. */
export async function until(what: string, timeoutMs: number, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${timeoutMs / 1_000} s.`);
    await pause(BETWEEN_MS);
  }
}

/** Whether a process of that id lives. */
export function isAlive(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Ends a process: asks it first, makes it after `timeoutMs`. */
export async function end(pid: number, what: string, timeoutMs: number): Promise<void> {
  if (!isAlive(pid)) return;
  process.kill(pid, 'SIGTERM');
  try {
    await until(`The end of ${what}`, timeoutMs, async () => !isAlive(pid));
  } catch {
    process.kill(pid, 'SIGKILL');
    await until(`The end of ${what}`, timeoutMs, async () => !isAlive(pid));
  }
}
