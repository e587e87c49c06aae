import { readTrace } from '../trace/read-trace.ts';
import { requestId } from './made-up-load.ts';
import type { PlannedRequest, WayName } from './planned-request.ts';

export interface ReplayOptions {
  readonly file: string;
  readonly limit: number;
  /** Seconds of the recording that pass in one second. */
  readonly speed: number;
  /** When the recording begins, seconds on its own clock. */
  readonly startsAt: number;
  readonly seed: number;
}

const MS = 1_000;
/** Most through the client, as services do that have many users. */
const TURNS: readonly WayName[] = ['client', 'http', 'client', 'client'];

/**
 * The requests of a recording, read while they are sent. Each is made at its recorded time and the device is really held
 * for as long as it was, both divided by the speed.
 */
export async function* replayLoad({ file, limit, speed, startsAt, seed }: ReplayOptions): AsyncGenerator<PlannedRequest> {
  let index = 0;
  for await (const entry of readTrace(file, limit)) {
    if (entry.kind === 'problem') continue;
    const { userId, tenantId, tier, durationMinutes, submittedAt, runSeconds, minCpu, minMemoryMB } = entry.request;
    const specs = { ...(minCpu === undefined ? {} : { minCpu }), ...(minMemoryMB === undefined ? {} : { minMemory: minMemoryMB }) };
    yield {
      id: requestId(seed, index),
      atMs: ((submittedAt - startsAt) * MS) / speed,
      way: TURNS[index % TURNS.length] ?? 'client',
      userId,
      tenantId,
      tier,
      asked: { durationMinutes, ...(Object.keys(specs).length === 0 ? {} : { preferredSpecs: specs }) },
      afterwards: { kind: 'release', afterMs: (runSeconds * MS) / speed },
      renew: false,
      twice: false,
    };
    index += 1;
  }
}
