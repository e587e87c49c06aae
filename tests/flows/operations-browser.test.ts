import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { ensureChromium } from '../../scripts/services/chromium.ts';
import { type ApiBench, type ApiServer, asUser, openApiBench } from '../support/api-bench.ts';
import { type DashboardBench, OPERATOR, openDashboard, VIEWER } from '../support/dashboard-bench.ts';
import { eventually } from '../support/eventually.ts';
import { writeOwed } from '../support/outbox-rows.ts';

/** Names somebody might try: each would do harm where text becomes markup. */
const EVIL_DEVICE = '<img src=x onerror="document.title=\'taken\'">';
const EVIL_USER = '<script>document.title="taken"</script>"><svg onload=alert(1)>';
/** What Bull Board's page asks for in vain: its font, from elsewhere. */
const BOARD_FONT = 'https://fonts.googleapis.com/';
/** On a busy machine the browser takes its time. */
const PATIENCE_MS = 40_000;

let bench: ApiBench;
let api: ApiServer;
let dashboard: DashboardBench;
let browser: Browser;
let context: BrowserContext;
/** What went wrong inside a page: errors, refusals by its policy, and whatever it wanted from elsewhere. */
let complaints: string[] = [];

beforeAll(async () => {
  const executablePath = await ensureChromium(process.env['CHROMIUM_PATH']);
  // Without its own sandbox: containers and root have none to give, and only our own pages are opened.
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout: 120_000 });
  bench = await openApiBench();
  await bench.startWorkers();
  api = await bench.start();
  dashboard = await openDashboard(bench);
}, 300_000);
afterEach(() => context?.close());
afterAll(async () => {
  await browser?.close();
  await dashboard?.close();
  await bench?.close();
});

/** A fresh browser in which somebody has logged in by the form. */
async function logIn({ username, password }: { username: string; password: string }, options = {}): Promise<Page> {
  complaints = [];
  context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on(
    'request',
    (request) => request.url().startsWith(dashboard.url) || request.url().startsWith('data:') || complaints.push(request.url()),
  );
  await page.goto(`${dashboard.url}/`);
  await page.fill('[name=username]', username);
  await page.fill('[name=password]', password);
  await page.click('button[type=submit]');
  await page.locator('.state.live').waitFor();
  return page;
}

async function allocate(userId: string): Promise<{ allocationId: string }> {
  const { status, body } = await api.call('POST', '/scheduler/devices/allocate', {
    as: await asUser(userId),
    body: { userId, waitMs: 30_000 },
  });
  expect(status).toBe(201);
  return body.data;
}

const figure = (page: Page, label: string) => page.locator('.figure', { hasText: label }).locator('output');
const saying = (text: string) => ({ hasText: text });
const isNow = async (page: Page, label: string, value: string) =>
  eventually(async () => expect(await figure(page, label).textContent()).toBe(value), PATIENCE_MS);

describe('in a browser', () => {
  test('an operator logs in, sees numbers change while jobs run, and releases an allocation after a question', async () => {
    await bench.addDevices(4);
    const page = await logIn(OPERATOR);
    await isNow(page, 'Allocations', '0');
    const { allocationId } = await allocate('looked-at');
    await isNow(page, 'Allocations', '1');
    const row = page.locator('#live tr', saying('looked-at'));
    await row.getByRole('button', { name: 'Release' }).click();
    const question = page.locator('dialog[open]');
    await question.getByRole('button', { name: 'Cancel' }).click();
    expect((await bench.store.prisma.allocation.findUniqueOrThrow({ where: { id: allocationId } })).endedAt).toBeNull();
    await row.getByRole('button', { name: 'Release' }).click();
    await question.getByLabel('Reason').fill('seen in a browser');
    await question.getByRole('button', { name: 'Release' }).click();
    await page.locator('.toast', saying('is released')).waitFor();
    await isNow(page, 'Allocations', '0');
    await page.locator('#changes', saying('release')).waitFor();
    expect(complaints).toEqual([]);
  });

  test('an operator looks at a queue and its jobs in Bull Board, which no other host answers', async () => {
    await bench.addDevices(1);
    await allocate('looked-at-in-queues');
    const page = await logIn(OPERATOR);
    complaints = [];
    const answered = new Set<string>();
    page.on('response', (response) => answered.add(new URL(response.url()).origin));
    // Every other host would answer, network or not: only our policy keeps the page from asking.
    await context.route(
      (url) => url.origin !== dashboard.url,
      (route) => route.fulfill({ contentType: 'text/css', body: '' }),
    );
    await page.goto(`${dashboard.url}/queues`);
    await page.getByRole('link', { name: 'allocate', exact: true }).first().click();
    await page.getByRole('link', { name: 'Completed' }).first().click();
    await page.getByText('looked-at-in-queues').first().waitFor();
    expect([...answered]).toEqual([dashboard.url]);
    expect(complaints.filter((complaint) => !complaint.includes(BOARD_FONT))).toEqual([]);
  });

  test('an operator tries a dead letter again', async () => {
    const [id = ''] = await writeOwed(bench.store, 1);
    await bench.store.prisma.ledgerEntry.update({ where: { allocationId: id }, data: { status: 'dead', lastError: 'billing said no' } });
    const page = await logIn(OPERATOR);
    await page.locator('#dead tr', saying('billing said no')).getByRole('button', { name: 'Retry' }).click();
    await page.locator('dialog[open]').getByRole('button', { name: 'Try again' }).click();
    await page.locator('#dead', saying('None.')).waitFor();
    expect((await bench.store.prisma.ledgerEntry.findUniqueOrThrow({ where: { allocationId: id } })).status).toBe('owed');
    expect(complaints).toEqual([]);
  });

  test('a viewer sees everything and can do nothing', async () => {
    await allocate('seen-by-viewer');
    const page = await logIn(VIEWER);
    await page.locator('#live tr', saying('seen-by-viewer')).waitFor();
    await page.locator('#jobs tr', saying('expire')).waitFor();
    expect(await page.locator('.act button, .story-actions button, .rows button').count()).toBe(0);
    // Nor by a call of their own making from the page itself.
    const status = await page.evaluate(`fetch('/api/session').then((answer) => answer.json()).then(({ data }) =>
      fetch('/api/actions/pause-queue', { method: 'POST', headers: { 'content-type': 'application/json', 'x-csrf-token': data.csrf }, body: '{"name":"notice"}' }))
      .then(({ status }) => status)`);
    expect(status).toBe(403);
  });

  test('names of devices and users are text wherever they appear, and the session is out of reach of scripts', async () => {
    await bench.store.prisma.device.updateMany({ data: { name: EVIL_DEVICE, region: '<b>north</b>' } });
    await allocate(EVIL_USER);
    const page = await logIn(OPERATOR);
    const row = page.locator('#live tr', saying(EVIL_USER));
    expect(await row.locator('th').textContent()).toBe(EVIL_DEVICE);
    await row.getByRole('button', { name: 'Release' }).click();
    await page.locator('dialog[open]', saying(EVIL_DEVICE)).waitFor();
    await page.keyboard.press('Escape');
    await row.locator('a', saying(EVIL_USER)).click();
    await page.locator('.story h1', saying(EVIL_USER)).waitFor();
    await page.goBack();
    await page.fill('[type=search]', EVIL_DEVICE);
    await page.locator('#found [role=option]', saying(EVIL_DEVICE)).first().waitFor();
    expect(await page.title()).toContain('Operations');
    expect(await page.locator('main img, main script, main svg, main b b').count()).toBe(0);
    expect(await page.evaluate('document.cookie')).toBe('');
    expect(complaints).toEqual([]);
    // Even a script that got in could not write markup or run text.
    expect(
      await page.evaluate(`(() => { try { document.body.innerHTML = '<i>x</i>'; return 'written'; } catch { return 'refused'; } })()`),
    ).toBe('refused');
  });

  test('the search leads from a name typed by keyboard to the whole story', async () => {
    const { allocationId } = await allocate('story-told');
    const page = await logIn(VIEWER);
    await page.locator('#live tr').first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type(allocationId);
    await page.locator('#found [role=option]').waitFor();
    await page.keyboard.press('Enter');
    const entries = page.locator('.entries');
    for (const word of ['asked by http', 'granted', 'got', 'device.allocated', 'allocate/allocate: completed'])
      await entries.locator('li', saying(word)).first().waitFor();
    expect(page.url()).toContain(`#/allocation/${allocationId}`);
    await page.locator('.facts a', saying('story-told')).click();
    await page.locator('.story h1', saying('story-told')).waitFor();
    expect(complaints).toEqual([]);
  });

  test('the map is moved over by arrows and opens a device by Enter', async () => {
    const page = await logIn(VIEWER, { colorScheme: 'dark', reducedMotion: 'reduce' });
    await page.locator('.map canvas[style]').focus();
    await page.keyboard.press('ArrowRight');
    await page.locator('#pointed', saying(':')).waitFor();
    await page.keyboard.press('Enter');
    await page.locator('.story .kind', saying('device')).first().waitFor();
    expect(complaints).toEqual([]);
  });

  test('a phone shows the page without scrolling sideways', async () => {
    const page = await logIn(VIEWER, { viewport: { width: 390, height: 844 } });
    for (const panel of ['#fleet canvas', '#live table', '#jobs table', '#queues table']) await page.locator(panel).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
  });

  test('says so when the connection is lost, and goes on by itself when the dashboard is back', async () => {
    const page = await logIn(VIEWER);
    await context.setOffline(true);
    await dashboard.close();
    await page.locator('.state.lost').waitFor();
    const port = Number(new URL(dashboard.url).port);
    dashboard = await eventually(() => openDashboard(bench, port));
    await context.setOffline(false);
    await page.locator('.state.live').waitFor();
  });

  test('a session that ends sends whoever looks to the login', async () => {
    const page = await logIn(VIEWER);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL('**/login**');
    await page.goto(`${dashboard.url}/`);
    expect(page.url()).toContain('/login');
  });
});
