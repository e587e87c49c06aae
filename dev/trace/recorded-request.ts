import type { Tier } from '../../shared/allocation/tier.ts';

/** One request somebody once made, in our own words. */
export interface RecordedRequest {
  /** Line of the file, from 1. */
  readonly line: number;
  /** When it was made, seconds on the clock of the recording. */
  readonly submittedAt: number;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: Tier;
  readonly durationMinutes: number;
  /** How long the device was really used, seconds on the clock of the recording; never more than the duration. */
  readonly runSeconds: number;
  readonly minCpu: number | undefined;
  readonly minMemoryMB: number | undefined;
}

/** A line that is no request: which one, and what would have been allowed. */
export interface TraceProblem {
  readonly line: number;
  readonly problem: string;
}

/** What a line turned out to be. */
export type TraceEntry = { readonly kind: 'request'; readonly request: RecordedRequest } | ({ readonly kind: 'problem' } & TraceProblem);

/** Names a field that cannot be used, its value and the values that can. */
export function wrongField(line: number, field: string, value: string, allowed: string): TraceEntry {
  return { kind: 'problem', line, problem: `${field} is ${value === '' ? 'empty' : JSON.stringify(value)}; allowed: ${allowed}` };
}
