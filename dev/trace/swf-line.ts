import { MAX_DURATION_MINUTES } from '../../shared/allocation/asked.ts';
import { DEFAULT_TIER } from '../../shared/allocation/tier.ts';
import { type TraceEntry, wrongField } from './recorded-request.ts';

/**
 * The Standard Workload Format of the Parallel Workloads Archive: one job a line, 18 numbers parted by blanks, -1 for
 * what is not known, comments after `;`. https://www.cs.huji.ac.il/labs/parallel/workload/swf.html
 *
 * A job becomes one device held for its run time. The fields used, counted from 1 as the format does:
 */
const FIELD = { submit: 2, run: 4, processors: 5, wantedProcessors: 8, wantedMemory: 10, user: 12, group: 13 } as const;

const FIELDS = 18;
const KB_PER_MB = 1024;

/** Turns one line into a request, or says which field is wrong and what it may be. */
export function readSwfLine(text: string, line: number): TraceEntry {
  const fields = text.trim().split(/\s+/);
  if (fields.length < FIELD.group || fields.length > FIELDS) {
    return { kind: 'problem', line, problem: `${fields.length} fields; allowed: ${FIELDS} numbers parted by blanks` };
  }
  const textOf = (number: number) => fields[number - 1] ?? '';
  const submittedAt = natural(textOf(FIELD.submit));
  if (submittedAt === undefined) return wrongField(line, 'field 2 (submit time)', textOf(FIELD.submit), 'seconds, 0 or more');
  const run = natural(textOf(FIELD.run));
  if (run === undefined) return wrongField(line, 'field 4 (run time)', textOf(FIELD.run), 'seconds, 0 or more (-1 is not known)');
  const user = natural(textOf(FIELD.user));
  if (user === undefined) return wrongField(line, 'field 12 (user)', textOf(FIELD.user), 'a number, 0 or more (-1 is not known)');
  const group = natural(textOf(FIELD.group));
  const durationMinutes = Math.min(Math.max(Math.ceil(run / 60), 1), MAX_DURATION_MINUTES);
  return {
    kind: 'request',
    request: {
      line,
      submittedAt,
      userId: `user-${user}`,
      tenantId: group === undefined ? null : `group-${group}`,
      tier: DEFAULT_TIER,
      durationMinutes,
      runSeconds: Math.min(run, durationMinutes * 60),
      ...wanted(natural(textOf(FIELD.wantedProcessors)), natural(textOf(FIELD.processors)), natural(textOf(FIELD.wantedMemory))),
    },
  };
}

/** What the job asked for, or was given where it did not say; memory is recorded in KB per processor. */
function wanted(asked: number | undefined, given: number | undefined, kbPerProcessor: number | undefined) {
  const processors = asked || given || undefined;
  const minMemoryMB = kbPerProcessor ? Math.ceil((kbPerProcessor * (processors ?? 1)) / KB_PER_MB) : undefined;
  return { minCpu: processors, minMemoryMB };
}

/** A number of the format; undefined for -1 ("not known") and for what is no number. */
function natural(text: string): number | undefined {
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}
