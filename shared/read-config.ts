import { randomBytes } from 'node:crypto';
import { appendFileSync, chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, loadConfig } from './config.ts';
import { readEnvironment } from './config-files.ts';

/** Secrets that are made up for a developer; in production they have no default. */
const MADE_UP = ['JWT_SECRET', 'SERVICE_TOKEN_SECRET', 'DASHBOARD_PASSWORD'] as const;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The configuration of this process, read once by its `main.ts`: the environment, over `.env`, over `.services/env`.
 *
 * Every problem is printed at once, with the name of the variable, and the process exits with 1.
 */
export function readConfig(): Config {
  const environment = readEnvironment();
  const result = loadConfig(environment['NODE_ENV'] === 'production' ? environment : withSecrets(environment, process.cwd()));
  if (result.ok) {
    for (const warning of result.warnings) process.stderr.write(`configuration: ${warning}\n`);
    return result.config;
  }
  const width = Math.max(...result.problems.map(({ variable }) => variable.length));
  process.stderr.write(`configuration: ${result.problems.length} problem(s)\n`);
  for (const { variable, problem } of result.problems) process.stderr.write(`  ${variable.padEnd(width)}  ${problem}\n`);
  process.exit(1);
}

/**
 * Makes up the secrets that are missing, once: they are kept in `.services/env` with mode 600, where every process of
 * this folder finds the same ones.
 */
export function withSecrets(environment: Environment, folder: string): Environment {
  const missing = MADE_UP.filter((name) => (environment[name] ?? '') === '');
  if (missing.length === 0) return environment;
  const made = Object.fromEntries(missing.map((name) => [name, randomBytes(24).toString('base64url')]));
  const file = join(folder, '.services', 'env');
  mkdirSync(join(folder, '.services'), { recursive: true });
  appendFileSync(
    file,
    Object.entries(made)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
    { mode: 0o600 },
  );
  chmodSync(file, 0o600);
  return { ...environment, ...made };
}
