import { MAX_DURATION_MINUTES } from '../../shared/allocation/asked.ts';
import { partyId } from '../../shared/allocation/party-id.ts';
import { DEFAULT_TIER, TIER_WORDS, tierOf } from '../../shared/allocation/tier.ts';
import { type TraceEntry, wrongField } from './recorded-request.ts';

/** The columns of a recorded CSV, in the order they have when no header names them. */
export const CSV_COLUMNS = ['submitted_at', 'user_id', 'tenant_id', 'tier', 'duration_minutes', 'min_cpu', 'min_memory_mb'] as const;

export type CsvColumn = (typeof CSV_COLUMNS)[number];

const NEEDED: readonly CsvColumn[] = ['submitted_at', 'user_id', 'duration_minutes'];

/** Which column stands where, or what is wrong with the header. */
export type CsvHeader = { readonly columns: readonly CsvColumn[] } | { readonly problem: string };

/** Splits one CSV line; a field in double quotes may contain commas and doubled quotes. */
export function splitCsv(text: string): string[] {
  const fields: string[] = [];
  const pattern = /\s*(?:"((?:[^"]|"")*)"|([^,]*))\s*(?:,|$)/y;
  while (pattern.lastIndex <= text.length) {
    const atEnd = pattern.lastIndex === text.length;
    const [whole, quoted, plain = ''] = pattern.exec(text) ?? [];
    if (whole === undefined) return [...fields, text];
    fields.push(quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"'));
    if (atEnd || !whole.endsWith(',')) break;
  }
  return fields;
}

/**
 * Reads the first line: either the names of the columns, in any order, or already a request in the usual order.
 *
 * @returns undefined when the line is no header
 */
export function readHeader(text: string): CsvHeader | undefined {
  const names = splitCsv(text).map((name) => name.toLowerCase());
  if (!names.includes('submitted_at')) return undefined;
  const columns = names.filter(isColumn);
  const unknown = names.filter((name) => !isColumn(name));
  const missing = NEEDED.filter((name) => !columns.includes(name));
  if (unknown.length > 0) return { problem: `unknown column ${unknown.join(', ')}; allowed: ${CSV_COLUMNS.join(', ')}` };
  if (missing.length > 0) return { problem: `column ${missing.join(', ')} is missing` };
  return { columns };
}

/** Turns one line into a request, or says which field is wrong and what it may be. */
export function readCsvLine(text: string, line: number, columns: readonly CsvColumn[]): TraceEntry {
  const fields = splitCsv(text);
  if (fields.length > columns.length) {
    return { kind: 'problem', line, problem: `${fields.length} fields; allowed: at most ${columns.length} (${columns.join(',')})` };
  }
  const field = (name: CsvColumn) => fields[columns.indexOf(name)] ?? '';
  const submittedAt = secondsOf(field('submitted_at'));
  if (submittedAt === undefined) return wrongField(line, 'submitted_at', field('submitted_at'), 'an ISO 8601 time or seconds');
  const user = partyId.safeParse(field('user_id'));
  if (!user.success) return wrongField(line, 'user_id', field('user_id'), '1..128 characters');
  const tier = field('tier') === '' ? DEFAULT_TIER : tierOf(field('tier').toLowerCase());
  if (tier === undefined) return wrongField(line, 'tier', field('tier'), TIER_WORDS.join(', '));
  const durationMinutes = wholeNumber(field('duration_minutes'), 1, MAX_DURATION_MINUTES);
  if (durationMinutes === undefined) return wrongField(line, 'duration_minutes', field('duration_minutes'), `1..${MAX_DURATION_MINUTES}`);
  const least = readLeast(field('min_cpu'), field('min_memory_mb'), line);
  if ('kind' in least) return least;
  const tenantId = field('tenant_id') === '' ? null : field('tenant_id');
  return {
    kind: 'request',
    request: { line, submittedAt, userId: user.data, tenantId, tier, durationMinutes, runSeconds: durationMinutes * 60, ...least },
  };
}

function readLeast(
  cpu: string,
  memory: string,
  line: number,
): { minCpu: number | undefined; minMemoryMB: number | undefined } | TraceEntry {
  const minCpu = cpu === '' ? 0 : wholeNumber(cpu, 0, MOST);
  if (minCpu === undefined) return wrongField(line, 'min_cpu', cpu, 'whole cores, or empty');
  const minMemoryMB = memory === '' ? 0 : wholeNumber(memory, 0, MOST);
  if (minMemoryMB === undefined) return wrongField(line, 'min_memory_mb', memory, 'whole MB, or empty');
  return { minCpu: minCpu || undefined, minMemoryMB: minMemoryMB || undefined };
}

const MOST = 2_147_483_647;

function isColumn(name: string): name is CsvColumn {
  return CSV_COLUMNS.some((column) => column === name);
}

function secondsOf(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms / 1_000;
}

function wholeNumber(text: string, least: number, most: number): number | undefined {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  return number >= least && number <= most ? number : undefined;
}
