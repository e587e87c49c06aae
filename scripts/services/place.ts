import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the project. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** Where the private servers keep their data, and where their addresses and the generated secrets are written. */
export const PLACE = join(ROOT, '.services');

/** The folder of one server. */
export function folderOf(name: string): string {
  return join(PLACE, name);
}

/** The number kept in a small file (a port, a process id), if there is one. */
export function numberIn(file: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const number = Number.parseInt(readFileSync(file, 'utf8'), 10);
  return Number.isInteger(number) && number > 0 ? number : undefined;
}
