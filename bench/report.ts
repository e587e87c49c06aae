import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { brief } from './alternate.ts';
import type { Figure } from './scenario.ts';
import type { Spread } from './spread.ts';

const HEAD = ['measure', 'ours', 'spread', 'reference', 'its median', 'its spread', 'ratio', 'n', 'goal', ''];

/** The figures of a scenario as an aligned table. */
export function tableOf(figures: readonly Figure[]): string {
  const rows = [HEAD, ...figures.map(rowOf)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  return lines.map((line) => line.trimEnd()).join('\n');
}

function rowOf({ measure, unit, ours, reference, ratio, goal }: Figure): string[] {
  return [
    measure,
    `${brief(ours.median)} ${unit}`.trim(),
    rangeOf(ours),
    reference?.name ?? '',
    reference === undefined ? '' : `${brief(reference.spread.median)} ${unit}`.trim(),
    reference === undefined ? '' : rangeOf(reference.spread),
    ratio === undefined ? '' : `${brief(ratio.median)} (${rangeOf(ratio)})`,
    String(ours.n),
    goal?.text ?? '',
    goal === undefined ? '' : goal.met ? 'met' : 'MISSED',
  ];
}

function rangeOf({ min, max }: Spread): string {
  return `${brief(min)}–${brief(max)}`;
}

/** Where and with what the figures were measured. */
function machine() {
  return { node: process.version, processor: cpus()[0]?.model ?? 'unknown', processors: availableParallelism() };
}

/**
 * Adds the figures of a scenario to the file of the day; a later run of the same scenario on that day replaces them.
 *
 * @param folder  made if it is not there
 * @returns the path of the file
 */
export async function keepResults(folder: string, scenario: string, rounds: number, figures: readonly Figure[]): Promise<string> {
  await mkdir(folder, { recursive: true });
  const now = new Date();
  const file = `${folder}/${now.toISOString().slice(0, 10)}.json`;
  const kept = { ...(await readResults(file)), [scenario]: { at: now.toISOString(), rounds, ...machine(), figures } };
  await writeFile(file, `${JSON.stringify(kept, null, 2)}\n`);
  return file;
}

async function readResults(file: string): Promise<Record<string, unknown>> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw error;
  }
}
