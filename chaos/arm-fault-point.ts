/**
 * Loaded in front of a `main.ts` (`node --import`): arms the step that FAULT_POINT names, see `shared/fault-point.ts`. The product
 * does not know this file, and it refuses to be loaded in production.
 *
 * FAULT_POINT=grant.6  FAULT_TIMES=3 (at the third time, else at the first)  FAULT_KIND=kill | stall | throw
 * FAULT_STALL_MS=20000 (how long the event loop stands still)  FAULT_MARK=<file> (struck once, whoever replaces this process)
 */
import { existsSync, writeFileSync } from 'node:fs';
import { armFaultPoint, FAULT_POINTS, type FaultPoint } from '../shared/fault-point.ts';

const { FAULT_POINT = '', FAULT_TIMES = '1', FAULT_KIND = 'kill', FAULT_STALL_MS = '20000', FAULT_MARK, NODE_ENV } = process.env;

const KINDS: Readonly<Record<string, () => void>> = {
  kill: () => void process.kill(process.pid, 'SIGKILL'),
  // Nothing of this process runs meanwhile: no lock is renewed, no heartbeat sent.
  stall: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(FAULT_STALL_MS)),
  throw: () => {
    throw new Error(`struck at ${FAULT_POINT}`);
  },
};

arm();

function arm(): void {
  if (FAULT_POINT === '') return;
  if (NODE_ENV === 'production') throw new Error('fault points are not for production');
  const strike = KINDS[FAULT_KIND];
  if (!isFaultPoint(FAULT_POINT)) throw new Error(`there is no fault point ${FAULT_POINT}`);
  if (strike === undefined) throw new Error(`a fault is one of ${Object.keys(KINDS).join(', ')}, not ${FAULT_KIND}`);
  if (FAULT_MARK !== undefined && existsSync(FAULT_MARK)) return;
  let left = Number(FAULT_TIMES);
  armFaultPoint(FAULT_POINT, () => {
    left -= 1;
    if (left !== 0) return;
    if (FAULT_MARK !== undefined) writeFileSync(FAULT_MARK, FAULT_POINT);
    strike();
  });
}

function isFaultPoint(name: string): name is FaultPoint {
  return Object.hasOwn(FAULT_POINTS, name);
}
