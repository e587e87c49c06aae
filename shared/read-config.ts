import { randomBytes } from 'node:crypto';
import { appendFileSync, chmodSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, loadConfig } from './config.ts';

/** Secrets that are made up for a developer; in production they have no default. */
const GENERATED = ['JWT_SECRET', 'SERVICE_TOKEN_SECRET', 'DASHBOARD_PASSWORD'] as const;

/**
 * The configuration of this process, read once by its `main.ts`.
 *
 * What the environment says wins; then `.env`; then, outside production, `.services/env`, where the private servers of
 * `npm run services` and the secrets of a developer are kept (made up once, mode 600). Every problem is printed at once and the
 * process exits with 1.
 */
export function readConfig(): Config {
  loadFile('.env');
  if (process.env['NODE_ENV'] !== 'production') {
    loadFile(join('.services', 'env'));
    makeUpSecrets();
  }
  const result = loadConfig(process.env);
  if (result.ok) {
    for (const warning of result.warnings) process.stderr.write(`configuration: ${warning}\n`);
    return result.config;
  }
  const width = Math.max(...result.problems.map(({ variable }) => variable.length));
  process.stderr.write(`configuration: ${result.problems.length} problem(s)\n`);
  for (const { variable, problem } of result.problems) process.stderr.write(`  ${variable.padEnd(width)}  ${problem}\n`);
  process.exit(1);
}

/** Variables that are set already are left as they are. */
function loadFile(path: string): void {
  if (existsSync(path)) process.loadEnvFile(path);
}

function makeUpSecrets(): void {
  const missing = GENERATED.filter((name) => (process.env[name] ?? '') === '');
  if (missing.length === 0) return;
  const path = join('.services', 'env');
  mkdirSync('.services', { recursive: true });
  for (const name of missing) {
    const value = randomBytes(24).toString('base64url');
    process.env[name] = value;
    appendFileSync(path, `${name}=${value}\n`, { mode: 0o600 });
  }
  chmodSync(path, 0o600);
}
