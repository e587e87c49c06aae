#!/usr/bin/env node
// Starts the command. The sources are TypeScript, which Node runs by itself from 22.18 on; on an older host Node the
// runtime installed beside this package is used, and a built package has the command as JavaScript.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const built = path('../dist/cli/main.js');
const ownNode = path('../node_modules/.bin/node');
const node = existsSync(ownNode) ? ownNode : process.execPath;
const source = path('./main.ts');

const { status, error } = spawnSync(
  node,
  ['--disable-warning=ExperimentalWarning', existsSync(source) ? source : built, ...process.argv.slice(2)],
  { stdio: 'inherit' },
);
if (error !== undefined) console.error(error.message);
process.exit(status ?? 1);
