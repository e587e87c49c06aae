import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** One process of the cluster. */
export interface ProcessSpec {
  readonly name: string;
  readonly file: string;
  readonly args?: readonly string[];
  /** Options of Node itself. */
  readonly nodeArgs?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Answers 2xx once the process works. */
  readonly healthUrl: string;
}

export interface SuperviseOptions {
  /** First pause before a replacement, ms; doubles with every death, up to `longestPauseMs`. */
  readonly pauseMs?: number;
  readonly longestPauseMs?: number;
  /** After so long without a death the pause is the first one again, ms. */
  readonly calmMs?: number;
  readonly onLine: (name: string, line: string) => void;
  readonly onEvent: (event: ProcessEvent) => void;
}

/** What happened to a process. `downMs`: from its death until its replacement worked. */
export type ProcessEvent =
  | { readonly kind: 'up'; readonly name: string; readonly pid: number; readonly downMs: number | undefined }
  | { readonly kind: 'died'; readonly name: string; readonly how: string; readonly pauseMs: number };

/** A process that is replaced whenever it dies, until it is stopped. */
export interface Supervised {
  readonly name: string;
  /** Where it is asked for its health; `/metrics` stands beside it. */
  readonly healthUrl: string;
  readonly pid: number | undefined;
  /** How many replacements it took. */
  readonly replacements: number;
  /** Resolves when the process of the moment answers its health question; false after `timeoutMs` or when stopped. */
  healthy(timeoutMs: number): Promise<boolean>;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL when it takes longer than `timeoutMs`. Not replaced any more. */
  stop(timeoutMs: number): Promise<void>;
}

/** Where `.env` and `.services/env` are looked for. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FOLLOW_PARENT = new URL('follow-parent.ts', import.meta.url).href;
const ASK_EVERY_MS = 50;

/** Starts a process and replaces it, with a growing pause, whenever it dies. One that keeps dying disturbs no other. */
export function supervise(spec: ProcessSpec, options: SuperviseOptions): Supervised {
  const { pauseMs: firstPauseMs = 200, longestPauseMs = 10_000, calmMs = 30_000, onLine, onEvent } = options;
  const stopped = new AbortController();
  let [replacements, pauseMs, bornAt] = [0, firstPauseMs, 0];
  let diedAt: number | undefined;
  let child = start();

  function start(): ChildProcess {
    bornAt = performance.now();
    const next = spawnProcess(spec, onLine);
    next.once('error', (error) => onLine(spec.name, `cannot be started: ${error.message}`));
    next.once('close', (code, signal) => void replace(signal ?? `exit code ${code}`));
    void announce(next);
    return next;
  }

  async function replace(how: string): Promise<void> {
    if (stopped.signal.aborted) return;
    diedAt = performance.now();
    if (diedAt - bornAt > calmMs) pauseMs = firstPauseMs;
    onEvent({ kind: 'died', name: spec.name, how, pauseMs });
    // Aborted when the cluster stops meanwhile: then there is nobody to replace.
    await pause(pauseMs, undefined, { signal: stopped.signal }).catch((error: unknown) => {
      if (!stopped.signal.aborted) throw error;
    });
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    if (stopped.signal.aborted) return;
    replacements += 1;
    child = start();
  }

  async function announce(next: ChildProcess): Promise<void> {
    while (!stopped.signal.aborted && next.exitCode === null && next.signalCode === null) {
      if (next.pid !== undefined && (await answers(spec.healthUrl))) {
        onEvent({ kind: 'up', name: spec.name, pid: next.pid, downMs: diedAt === undefined ? undefined : performance.now() - diedAt });
        return;
      }
      await pause(ASK_EVERY_MS);
    }
  }

  async function healthy(timeoutMs: number): Promise<boolean> {
    const until = performance.now() + timeoutMs;
    while (!stopped.signal.aborted && performance.now() < until) {
      if (isAlive(child) && (await answers(spec.healthUrl))) return true;
      await pause(ASK_EVERY_MS);
    }
    return false;
  }

  async function stop(timeoutMs: number): Promise<void> {
    stopped.abort();
    if (!isAlive(child)) return;
    const last = child;
    const closed = new Promise<void>((resolve) => last.once('close', () => resolve()));
    const timer = setTimeout(() => last.kill('SIGKILL'), timeoutMs);
    last.kill('SIGTERM');
    await closed;
    clearTimeout(timer);
  }

  return {
    name: spec.name,
    healthUrl: spec.healthUrl,
    get pid() {
      return child.pid;
    },
    get replacements() {
      return replacements;
    },
    healthy,
    kill: (signal) => void child.kill(signal),
    stop,
  };
}

/**
 * In a process group of its own: Ctrl-C in a terminal reaches the whole group, and a process that got it from there and
 * SIGTERM from us would take the second for "at once".
 */
function spawnProcess({ name, file, args = [], nodeArgs = [], env }: ProcessSpec, onLine: SuperviseOptions['onLine']): ChildProcess {
  const child = spawn(process.execPath, ['--no-warnings', ...nodeArgs, '--import', FOLLOW_PARENT, file, ...args], {
    env,
    cwd: ROOT,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream }).on('line', (line) => onLine(name, line));
  }
  return child;
}

const isAlive = (child: ChildProcess) => child.pid !== undefined && child.exitCode === null && child.signalCode === null;

async function answers(url: string): Promise<boolean> {
  try {
    const { ok, body } = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await body?.cancel();
    return ok;
  } catch {
    // Not listening yet is the answer to the question, not a fault.
    return false;
  }
}
