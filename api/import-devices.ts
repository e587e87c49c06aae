import type { Readable } from 'node:stream';
import type { z } from 'zod';
import { SchedulerError } from '../shared/errors.ts';
import { type DeviceWords, type Ownership, upsertDevices } from '../shared/store/fleet.ts';
import type { Store } from '../shared/store/store.ts';
import { unstorable } from './body-parsers.ts';
import { deviceLine } from './device-schema.ts';
import { fieldOf } from './error-handler.ts';
import { type Line, linesOf } from './lines.ts';

/** What became of an import. `errors` names the first thousand wrong lines; `failed` counts all of them. */
export interface ImportReport {
  received: number;
  created: number;
  updated: number;
  failed: number;
  readonly errors: { line: number; code: string; message: string }[];
}

/** What an import works with. */
export interface ImportParts {
  readonly store: Store;
  /** Has the holders and reservations of devices looked after that a line took out of service. */
  readonly settle: (deviceIds: readonly string[]) => Promise<void>;
}

/** Rows of one statement: large enough that the round trip does not count, small enough that little of it lives at once. */
const BATCH = 500;
/** Statements under way while the next lines are read. */
const PARALLEL = 2;
const ERRORS_NAMED = 1_000;

/** A checked line: the device as JSON text, which is a fraction of the object it stands for. */
interface Checked {
  readonly line: number;
  readonly id: string;
  readonly json: string;
}

/**
 * Reads devices, one JSON document a line, and writes them in batches while it reads. Memory does not grow with the
 * number of lines. A wrong line is reported and left out; the others count.
 *
 * @param tenantOf  the tenant a line's device belongs to; throws SchedulerError FORBIDDEN for a foreign one
 * @throws SchedulerError STORE_UNAVAILABLE, QUEUE_UNAVAILABLE; what was written by then stays, and a repeat is harmless
 */
export async function importDevices(
  parts: ImportParts,
  body: Readable,
  owner: Ownership,
  tenantOf: (stated: string | undefined) => string | undefined,
): Promise<ImportReport> {
  const report: ImportReport = { received: 0, created: 0, updated: 0, failed: 0, errors: [] };
  const underWay = new Set<Promise<void>>();
  const faults: unknown[] = [];
  let batch = new Map<string, Checked>();

  async function write(rows: readonly Checked[]): Promise<void> {
    try {
      await writeBatch(parts, rows, owner, report);
    } catch (error) {
      faults.push(error);
    }
  }
  function flush(): void {
    const written = write([...batch.values()]).finally(() => underWay.delete(written));
    underWay.add(written);
    batch = new Map();
  }

  for await (const line of linesOf(body)) {
    report.received += 1;
    const checked = readLine(line, tenantOf, report);
    if (checked === undefined) continue;
    // A device named twice: what stands later counts, as it would in two statements.
    if (batch.has(checked.id)) report.updated += 1;
    batch.set(checked.id, checked);
    if (batch.size >= BATCH) flush();
    while (underWay.size >= PARALLEL) await Promise.race(underWay);
    if (faults.length > 0) break;
  }
  if (batch.size > 0 && faults.length === 0) flush();
  await Promise.all(underWay);
  if (faults.length > 0) throw faults[0];
  return { ...report, errors: report.errors.sort((a, b) => a.line - b.line) };
}

function readLine(line: Line, tenantOf: (stated: string | undefined) => string | undefined, report: ImportReport): Checked | undefined {
  const fail = (message: string, code = 'VALIDATION_FAILED') => addError(report, line.number, code, message);
  if (line.text === undefined) return fail('the line is too long');
  const value = parse(line.text);
  if (value === undefined) return fail('is not JSON');
  const checked = deviceLine.safeParse(value);
  if (!checked.success) return fail(checked.error.issues.map(describe).join('; '));
  const broken = line.text.includes('\\u') ? unstorable(checked.data, []) : undefined;
  if (broken !== undefined) return fail(`${broken}: must be well-formed text without NUL characters`);
  try {
    const device: DeviceWords = {
      ...checked.data,
      id: checked.data.id.toLowerCase(),
      tenantId: tenantOf(checked.data.tenantId),
    };
    return { line: line.number, id: device.id, json: JSON.stringify(device) };
  } catch (error) {
    if (error instanceof SchedulerError) return fail(error.message, error.code);
    throw error;
  }
}

async function writeBatch({ store, settle }: ImportParts, rows: readonly Checked[], owner: Ownership, report: ImportReport): Promise<void> {
  const texts = rows.map(({ json }) => json);
  const { created, updated, foreign, down } = await upsertDevices(store, texts, owner);
  report.created += created;
  report.updated += updated;
  if (down.length > 0) await settle(down);
  if (foreign.length === 0) return;
  const lines = new Map(rows.map(({ line, id }) => [id, line]));
  for (const id of foreign) addError(report, lines.get(id) ?? 0, 'FORBIDDEN', 'the device belongs to another tenant');
}

function addError(report: ImportReport, line: number, code: string, message: string): undefined {
  report.failed += 1;
  if (report.errors.length < ERRORS_NAMED) report.errors.push({ line, code, message });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: said in the report, by its line.
    return undefined;
  }
}

function describe(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') return `${issue.keys.join(', ')}: not a known field`;
  const field = fieldOf(issue.path.map(String));
  return field === '' ? issue.message : `${field}: ${issue.message}`;
}
