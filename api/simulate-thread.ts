import { parentPort, workerData } from 'node:worker_threads';
import type { Strategy } from '../shared/placement/strategy.ts';
import type { SimulatedDevice, SimulatedRequest } from '../shared/simulation/recorded.ts';
import { simulate } from '../shared/simulation/simulate.ts';

/** What a thread is given. */
export interface SimulationTask {
  readonly fleet: readonly SimulatedDevice[];
  readonly requests: readonly SimulatedRequest[];
  readonly strategies: readonly Strategy[];
}

const { fleet, requests, strategies } = workerData as SimulationTask;
parentPort?.postMessage(strategies.map((strategy) => simulate(fleet, requests, strategy)));
