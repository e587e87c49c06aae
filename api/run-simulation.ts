import { Worker } from 'node:worker_threads';
import { SchedulerError } from '../shared/errors.ts';
import type { SimulatedResult } from '../shared/simulation/simulate.ts';
import type { SimulationTask } from './simulate-thread.ts';

/** Longest simulation, ms. */
const LONGEST_MS = 30_000;
const MEMORY_MB = 256;
const RETRY_AFTER_S = 5;

/** Whether a simulation is running in this process. */
let running = false;

/**
 * Simulates on a thread of its own, so that nobody else's call waits for it; one at a time in a process.
 *
 * @throws SchedulerError OVERLOADED while another one runs, or when this one takes too long
 */
export async function runSimulation(task: SimulationTask): Promise<SimulatedResult[]> {
  if (running) throw new SchedulerError('OVERLOADED', { messages: ['Another simulation is running.'], retryAfter: RETRY_AFTER_S });
  running = true;
  try {
    return await onThread(task);
  } finally {
    running = false;
  }
}

async function onThread(task: SimulationTask): Promise<SimulatedResult[]> {
  const thread = new Worker(new URL('./simulate-thread.ts', import.meta.url), {
    workerData: task,
    execArgv: ['--no-warnings'],
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<SimulatedResult[]>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', reject);
      thread.once('exit', (code) => reject(new Error(`the simulation ended with ${code} and no result`)));
      timer = setTimeout(() => reject(tooLong()), LONGEST_MS);
    });
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}

function tooLong(): SchedulerError {
  return new SchedulerError('OVERLOADED', {
    messages: [`The simulation took longer than ${LONGEST_MS / 1_000} s; send fewer requests.`],
    retryAfter: RETRY_AFTER_S,
  });
}
