import { readTrace } from './read-trace.ts';
import type { TraceProblem } from './recorded-request.ts';

/** What a recording contains, read once before it is replayed. */
export interface TraceMeasure {
  readonly requests: number;
  readonly users: ReadonlySet<string>;
  readonly tenants: ReadonlySet<string>;
  /** Earliest request, seconds on the clock of the recording. */
  readonly startsAt: number;
  /** From the first request to the last, seconds on the clock of the recording. */
  readonly spanSeconds: number;
  /** From the first request until the last device is given back, seconds on the clock of the recording. */
  readonly wholeSeconds: number;
  /** Lines that are no requests, the first few, and how many there are in all. */
  readonly problems: readonly TraceProblem[];
  readonly problemCount: number;
}

const PROBLEMS_KEPT = 20;

/** @param limit  how many requests are read at most */
export async function measureTrace(file: string, limit?: number): Promise<TraceMeasure> {
  const users = new Set<string>();
  const tenants = new Set<string>();
  const problems: TraceProblem[] = [];
  let [requests, problemCount, first] = [0, 0, Number.POSITIVE_INFINITY];
  let [last, end] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for await (const entry of readTrace(file, limit)) {
    if (entry.kind === 'problem') {
      problemCount += 1;
      if (problems.length < PROBLEMS_KEPT) problems.push({ line: entry.line, problem: entry.problem });
      continue;
    }
    const { userId, tenantId, submittedAt, runSeconds } = entry.request;
    requests += 1;
    users.add(userId);
    if (tenantId !== null) tenants.add(tenantId);
    first = Math.min(first, submittedAt);
    last = Math.max(last, submittedAt);
    end = Math.max(end, submittedAt + runSeconds);
  }
  const found = { requests, users, tenants, problems, problemCount };
  if (requests === 0) return { ...found, startsAt: 0, spanSeconds: 0, wholeSeconds: 0 };
  return { ...found, startsAt: first, spanSeconds: last - first, wholeSeconds: end - first };
}
