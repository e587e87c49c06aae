import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Browser, chromium } from 'playwright-core';
import { ensureChromium } from '../../scripts/services/chromium.ts';
import { type ApiBench, openApiBench } from '../support/api-bench.ts';
import { type DashboardBench, OPERATOR, openDashboard, VIEWER } from '../support/dashboard-bench.ts';
import { type LiveStream, listenTo } from '../support/live-stream.ts';

const DEVICES = 10_000;
const WAITING = 100_000;
const EVENTS_A_SECOND = 1_000;
const SECONDS = 8;
const VIEWERS = 5;
const TICK_MS = 100;

let bench: ApiBench;
let dashboard: DashboardBench;
let browser: Browser;

beforeAll(async () => {
  const executablePath = await ensureChromium(process.env['CHROMIUM_PATH']);
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout: 120_000 });
  bench = await openApiBench();
  await fill();
  dashboard = await openDashboard(bench);
}, 300_000);
afterAll(async () => {
  await browser?.close();
  await dashboard?.close();
  await bench?.close();
});

async function fill(): Promise<void> {
  const { prisma } = bench.store;
  await prisma.$executeRaw`
    INSERT INTO devices (id, name, type, status, provider_type, node_id, region, cpu_cores, memory_mb, storage_mb)
    SELECT gen_random_uuid(), 'device-' || i, 'phone', 'running', 'redroid', 'node-' || i % 200, 'region-' || i % 5, 4, 8192, 65536
    FROM generate_series(1, ${DEVICES}::int) i`;
  for (let from = 0; from < WAITING; from += 20_000)
    await prisma.$executeRaw`
      INSERT INTO requests (id, caller, source, user_id, tier, status, asked, waiting_since, flow, rank_at, needs)
      SELECT gen_random_uuid(), 'user:w', 'http', 'w-' || i, (ARRAY['free', 'standard', 'vip', 'premium', 'enterprise'])[1 + i % 5], 'waiting', '{}', now(),
        'u:w-' || i, now(), '{0,0,0,0,64,9999999,9999999}'
      FROM generate_series(${from}::int + 1, ${from}::int + 20000) i`;
  await prisma.$executeRaw`ANALYZE devices`;
  await prisma.$executeRaw`ANALYZE requests`;
}

/** Half of them allocations that end, with their events; the other half devices that change. @returns how many there were */
async function happen(signal: AbortSignal): Promise<number> {
  const began = performance.now();
  let made = 0;
  while (!signal.aborted) {
    const due = Math.floor(((performance.now() - began) / 1_000) * EVENTS_A_SECOND) - made;
    const half = Math.ceil(due / 2);
    if (due > 0) {
      await bench.store.prisma.$executeRaw`
        WITH chosen AS MATERIALIZED (SELECT id, name FROM devices TABLESAMPLE SYSTEM (20) LIMIT ${half}::int),
        ended AS (
          INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tier, status, fence, strategy, duration_minutes, cpu_cores, memory_mb, storage_mb,
            allocated_at, expires_at, ended_at, end_reason)
          SELECT gen_random_uuid(), gen_random_uuid(), id, name, 'ann', 'free', 'released', (random() * 1e15)::bigint + 1, 'resource_based', 60, 4, 8192, 65536,
            now() - interval '1 second', now() + interval '1 hour', now(), 'released' FROM chosen RETURNING id
        ), told AS (INSERT INTO outbox (channel, topic, key, payload) SELECT 'event', 'device.released', id::text, '{}' FROM ended)
        UPDATE devices d SET draining = NOT draining FROM chosen c WHERE d.id = c.id`;
      made += 2 * half;
    }
    // It ends by its signal: the loop looks.
    await pause(TICK_MS, undefined, { signal }).catch(() => undefined);
  }
  return made;
}

const quantile = (values: readonly number[], q: number) => values.toSorted((a, b) => a - b)[Math.floor(q * (values.length - 1))] ?? 0;

/** Gaps between the frames of a page, ms, as long as `until` has not passed. */
const FRAMES = `new Promise((resolve) => {
  const gaps = []; let last = performance.now(); const end = last + ${(SECONDS - 2) * 1_000};
  const step = (now) => { gaps.push(now - last); last = now; now < end ? requestAnimationFrame(step) : resolve(gaps); };
  requestAnimationFrame(step);
})`;

test(`the page stays usable with ${DEVICES} devices, ${WAITING} waiting and ${EVENTS_A_SECOND} events a second, watched by ${VIEWERS} and a browser`, async () => {
  const viewer = await dashboard.logIn(VIEWER);
  const streams: LiveStream[] = [];
  for (let index = 0; index < VIEWERS; index += 1) streams.push(await listenTo(`${dashboard.url}/api/live`, viewer.cookie));
  const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(`${dashboard.url}/`);
  await page.fill('[name=username]', OPERATOR.username);
  await page.fill('[name=password]', OPERATOR.password);
  await page.click('button[type=submit]');
  await page.locator('.map canvas[style]').waitFor();
  await page.locator('#waiting tbody tr').first().waitFor();

  const over = new AbortController();
  const loop = monitorEventLoopDelay({ resolution: 5 });
  const happening = happen(over.signal);
  loop.enable();
  const before = new Map(streams[0]?.heard);
  const framing = page.evaluate(FRAMES) as Promise<number[]>;
  const answers: number[] = [];
  const until = performance.now() + SECONDS * 1_000;
  while (performance.now() < until) {
    const asked = performance.now();
    expect((await viewer.get(`/api/search?q=device-${answers.length % 900}`)).status).toBe(200);
    answers.push(performance.now() - asked);
    await pause(50);
  }
  const clicked = performance.now();
  await page.locator('#jobs button', { hasText: 'Run' }).first().click();
  await page.locator('dialog[open]').waitFor();
  const opened = performance.now() - clicked;
  const gaps = await framing;
  loop.disable();
  over.abort();
  const made = await happening;

  const heard = (part: string) => (streams[0]?.heard.get(part) ?? 0) - (before.get(part) ?? 0);
  const ms = (value: number) => `${Math.round(value)} ms`;
  process.stdout.write(
    `operations page: ${Math.round(made / SECONDS)} events/s; search p50 ${ms(quantile(answers, 0.5))}, p95 ${ms(quantile(answers, 0.95))}; ` +
      `event loop p99 ${ms(loop.percentile(99) / 1e6)}; frames p50 ${ms(quantile(gaps, 0.5))}, p99 ${ms(quantile(gaps, 0.99))}; click to question ${ms(opened)}; ` +
      `in ${SECONDS} s: fleet ${heard('fleet')}, waiting ${heard('waiting')}, minutes ${heard('minutes')} times\n`,
  );
  // How fast is printed, not judged: the machine may be busy. That it goes on at all is what is held here.
  expect(streams[0]?.last('fleet').total).toBe(DEVICES);
  expect(streams[0]?.last('waiting').reduce((sum: number, { count }: { count: number }) => sum + count, 0)).toBe(WAITING);
  expect(heard('fleet')).toBeGreaterThan(1);
  expect(heard('waiting')).toBeGreaterThan(0);
  expect(made).toBeGreaterThan(EVENTS_A_SECOND);
  for (const stream of streams) await stream.close();
}, 180_000);
