import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { withSecrets } from '../../shared/read-config.ts';
import { PLACE, ROOT } from './place.ts';

/** Addresses of the private servers and generated secrets, one `NAME=value` a line; readable by the owner only. */
export const SETTINGS_FILE = join(PLACE, 'env');

/** What is kept in .services/env. */
export function readSettings(): Record<string, string> {
  return parsed(SETTINGS_FILE);
}

/** What the person said: the environment over .env. Variables that are set to nothing count as said: RABBITMQ_URL= is "off". */
export function saidByPerson(): Record<string, string | undefined> {
  return { ...parsed(join(ROOT, '.env')), ...process.env };
}

/** Writes the addresses beside what is there; secrets are made once and stay. */
export function writeSettings(addresses: Readonly<Record<string, string>>): void {
  mkdirSync(PLACE, { recursive: true, mode: 0o755 });
  withSecrets(readSettings(), ROOT);
  const settings = { ...readSettings(), ...addresses };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(SETTINGS_FILE, lines.join(''), { mode: 0o600 });
  chmodSync(SETTINGS_FILE, 0o600);
}

function parsed(file: string): Record<string, string> {
  if (!existsSync(file)) return {};
  const values = parseEnv(readFileSync(file, 'utf8'));
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
