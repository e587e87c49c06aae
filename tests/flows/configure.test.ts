import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from '@jest/globals';

test.each([
  'api',
  'dashboards',
  'workers/allocation',
  'workers/delivery',
  'workers/lifecycle',
  'workers/maintenance',
  'workers/relay',
  'workers/reservations',
])('%s lists every problem of its configuration at once and ends with 1', async (station) => {
  const env = { PATH: process.env['PATH'], NODE_ENV: 'production', PORT: 'many', EXPIRY_TICK: '0', JWT_SECRET: 'j'.repeat(32) };
  const child = spawn(process.execPath, ['--no-warnings', `${station}/main.ts`], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [output, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  expect({ code, output }).toEqual({ code: 1, output: '' });
  expect(errors).toMatch(/3 problem/);
  for (const variable of ['PORT', 'EXPIRY_TICK', 'DASHBOARD_PASSWORD']) expect(errors).toContain(variable);
});
