import { z } from 'zod';
import { readAnswer } from './read-answer.ts';
import type { Screen } from './screen.ts';
import type { Session } from './session.ts';
import { onOneLine } from './text-width.ts';

const check = z.object({ name: z.string(), ok: z.boolean(), violations: z.int(), sample: z.array(z.string()) });
const report = z.object({ ok: z.boolean(), checks: z.array(check) });

/** One rule, checked. */
export type Invariant = z.output<typeof check>;

/** Every table is read: on a large database that takes its time, ms. */
const TIMEOUT_MS = 10 * 60_000;

/** Runs the checker of the API. */
export async function askInvariants(session: Session): Promise<{ data: unknown; report: z.output<typeof report> }> {
  const { data } = await session.ask({ method: 'GET', path: '/scheduler/invariants', timeoutMs: TIMEOUT_MS });
  return { data, report: readAnswer(report, data) };
}

/** A rule in a line, and which rows break it. */
export function invariantText({ paint }: Screen, { name, ok, violations, sample }: Invariant): string {
  if (ok) return `${paint.green('✓')} ${onOneLine(name)}`;
  const rows = sample.map((row) => `    ${onOneLine(row)}`);
  const more = violations > sample.length ? [`    and ${violations - sample.length} more`] : [];
  return [`${paint.red('✗')} ${onOneLine(name)} ${paint.red(`(${violations})`)}`, ...rows, ...more].join('\n');
}
