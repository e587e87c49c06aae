import { measureTrace } from '../trace/measure-trace.ts';
import { readTraceHeader } from '../trace/read-trace.ts';
import { makeUpLoad, USERS } from './made-up-load.ts';
import type { DemoOptions } from './options.ts';
import type { PlannedRequest } from './planned-request.ts';
import { replayLoad } from './replayed-load.ts';

/** What will be sent, and a sentence or two about it. */
export interface PreparedLoad {
  readonly requests: number;
  readonly load: Iterable<PlannedRequest> | AsyncIterable<PlannedRequest>;
  readonly words: readonly string[];
}

/** A replay is meant to be over in this time when no speed is given, s. */
const REPLAY_S = 480;

/** What a recording asks to be shown with any result from it. */
const THANKS = ['Installation', 'Acknowledge', 'Information', 'Conversion'] as const;

/** @throws Error when the recording holds no request */
export async function prepareLoad({ trace, limit, seed, speed }: DemoOptions): Promise<PreparedLoad> {
  if (trace === undefined) {
    const words = [`${limit} requests of ${USERS} users, seed ${seed} (the same again with --seed ${seed})`];
    return { requests: limit, load: makeUpLoad(limit, seed), words };
  }
  const measure = await measureTrace(trace, limit);
  const { requests, users, tenants, startsAt, wholeSeconds, problems, problemCount } = measure;
  const header = await readTraceHeader(trace);
  const skipped = problems.map(({ line, problem }) => `  line ${line}: ${problem}`);
  if (requests === 0) throw new Error([`${trace} holds no request that could be replayed`, ...skipped].join('\n'));
  const chosen = speed ?? Math.max(1, wholeSeconds / REPLAY_S);
  return {
    requests,
    load: replayLoad({ file: trace, limit, speed: chosen, startsAt, seed }),
    words: [
      ...THANKS.flatMap((name) => (header.has(name) ? [`recording: ${name} ${header.get(name)}`] : [])),
      `${requests} recorded requests of ${users.size} users in ${tenants.size} tenants, ${chosen.toFixed(1)} times as fast as they were made`,
      `that takes ${Math.ceil(wholeSeconds / chosen)} s; every device is held for its recorded time, as much shortened`,
      ...(problemCount === 0 ? [] : [`${problemCount} lines are left out:`, ...skipped]),
      ...(problemCount > problems.length ? [`  … and ${problemCount - problems.length} more`] : []),
    ],
  };
}
