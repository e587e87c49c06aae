// Starts the API on the private servers, asks it for its OpenAPI document, and writes docs/reference/api.md from that.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../dev/cluster/ports.ts';
import { readEnvironment } from '../shared/config-files.ts';
import { API_PAGE, type ApiDocument, apiPage } from './api-page.ts';
import { ROOT } from './services/place.ts';

const PORT = await freePort();
const env = { ...process.env, ...readEnvironment(), PORT: String(PORT), METRICS_PORT: String(await freePort()) };
const api = spawn(process.execPath, ['api/main.ts'], { cwd: ROOT, env, stdio: ['ignore', 'ignore', 'inherit'] });
try {
  writeFileSync(join(ROOT, API_PAGE), apiPage(await document()));
  process.stdout.write(`${API_PAGE}\n`);
} finally {
  api.kill('SIGTERM');
}

async function document(): Promise<ApiDocument> {
  for (;;) {
    if (api.exitCode !== null) throw new Error(`the API ended with ${api.exitCode}: npm run services -- up, npm run db:migrate`);
    try {
      const answer = await fetch(`http://127.0.0.1:${PORT}/docs/json`);
      return (await answer.json()) as ApiDocument;
    } catch {
      await pause(100); // not up yet
    }
  }
}
