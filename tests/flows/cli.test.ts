import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { ALL_SCHEDULES } from '../../queues/schedules.ts';
import { type ApiBench, type ApiServer, asUser, openApiBench } from '../support/api-bench.ts';
import { type CommandLine, commandLine, type Said, widthOf } from '../support/command-line.ts';
import { writeOutbox } from '../support/outbox-rows.ts';

const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
/** Each test is a handful of processes that load the whole command; beside the rest of the suite that takes its time. */
jest.setTimeout(180_000);

const NOBODY = '00000000-0000-4000-8000-000000000009';

let bench: ApiBench;
let api: ApiServer;
let cli: CommandLine;

beforeAll(async () => {
  bench = await openApiBench();
  await bench.startWorkers();
  api = await bench.start();
  cli = commandLine({ SCHEDULER_URL: api.url });
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction(
    (tx) =>
      tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, inbox, idempotency_keys, reservations, scheduled_runs CASCADE`,
  );
});

/** Says a command twice: for people and for scripts. */
async function both(...words: string[]): Promise<[Said, Said]> {
  return [await cli(...words), await cli(...words, '--json')];
}

/** A granted allocation, as the document says it. */
async function allocated(user: string): Promise<{ allocationId: string; deviceId: string; expiresAt: string; fence: number }> {
  const said = await cli('allocate', user, '--json');
  expect(said).toMatchObject({ code: 0, errors: '' });
  return said.json();
}

describe('allocate', () => {
  test('says what the user got, until when, and how to reach it', async () => {
    await bench.addDevices(1);
    const { code, out } = await cli('allocate', 'ann', '--for', '1h30m', '--type', 'phone', '--min-cpu', '2');
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^✓ ann has device 0\nallocation {2}\S{36}\n/) });
    expect(out).toMatch(/\nuntil +.*\d\d:\d\d GMT\+5:30, in 1 h (29|30) min \(1 h 30 min\)\n/);
    expect(out).toContain('adb         10.9.8.7:5555');
  });

  test('gives scripts one document, with times in ISO 8601', async () => {
    await bench.addDevices(1);
    const grant = await allocated('ann');
    expect(grant).toMatchObject({ userId: 'ann', durationMinutes: 60, fence: 1, expiresAt: expect.stringMatching(/^\d{4}-.*Z$/) });
  });

  test('waits in the queue if it is told to, and says how to go on', async () => {
    const [busy] = await bench.addDevices(1);
    await allocated('ann');
    expect(await cli('allocate', 'bob', '--device', busy ?? '')).toMatchObject({ code: 1, out: '' });
    const { code, out } = await cli('allocate', 'bob', '--queue', '--wait', '1');
    expect(code).toBe(0);
    expect(out).toMatch(/^… waiting in the queue\nrequest +\S{36}\nreason +POOL_BUSY\nposition +1\n/);
    expect(out).toMatch(/→ cloudphone-scheduler queue show \S{36}\n$/);
  });

  test('ends with 1 when it is refused, with the code, the sentence and the request id', async () => {
    const { code, out, errors } = await cli('allocate', 'ann');
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(errors).toMatch(/^NO_MATCHING_DEVICE {2}No device of the fleet could ever match\.\n/);
    expect(errors).toContain('→ Ask for less');
    expect(errors).toMatch(new RegExp(`request ${UUID.source}\n$`));
    const refused = await cli('allocate', 'ann', '--json');
    expect({ code: refused.code, out: refused.out }).toEqual({ code: 1, out: '' });
    expect(JSON.parse(refused.errors)).toMatchObject({
      error: {
        code: 'NO_MATCHING_DEVICE',
        statusCode: 409,
        exitCode: 1,
        requestId: expect.stringMatching(UUID),
        message: ['No device of the fleet could ever match.', expect.any(String)],
      },
    });
  });

  test('grants once under one key, however often it is said', async () => {
    await bench.addDevices(2);
    const words = ['allocate', 'ann', '--idempotency-key', 'deploy-7', '--json'];
    const [first, second] = [await cli(...words), await cli(...words)];
    expect(second.json()).toEqual(first.json());
    expect((await cli('list', '--json')).json().total).toBe(1);
  });
});

describe('list', () => {
  test('shows who holds what within 80 columns, and more where there is room', async () => {
    await bench.addDevices(2);
    const { allocationId, deviceId } = await allocated('a user with a name that is as long as the name of a user may be in this world');
    await allocated('bob');
    const { code, out } = await cli('list');
    expect(code).toBe(0);
    expect(out).toMatch(/^ALLOCATION +USER +DEVICE +ENDS\b.*\n/);
    expect(out).toMatch(new RegExp(`\n${allocationId} {2}a user.*… {2}device \\d +in (59|60) min|1 h`));
    expect(widthOf(out)).toBeLessThanOrEqual(80);
    const wide = await cli.with({ COLUMNS: '240' })('list');
    expect(wide.out).toMatch(/^ALLOCATION +USER +DEVICE +ENDS +AT +HELD +TIER +FENCE +DEVICE ID\n/);
    expect(wide.out).toContain(deviceId);
    expect(wide.out).toContain('as long as the name of a user may be in this world');
    expect(wide.out).toMatch(/ \d\d:\d\d GMT\+5:30 /);
  });

  test('gives scripts the page as the API has it', async () => {
    await bench.addDevices(1);
    const { allocationId } = await allocated('ann');
    expect((await cli('list', '--user', 'ann', '--json')).json()).toMatchObject({
      items: [{ allocationId, userId: 'ann', status: 'allocated', endedAt: null }],
      total: 1,
      nextCursor: null,
    });
    expect((await cli('list', '--user', 'bob')).out).toBe('Nobody holds a device.\n');
  });

  test('goes through every page with --all, and says when there is more', async () => {
    const ids = await bench.addDevices(230);
    const all = (await cli('devices', 'available', '--all', '--json')).json();
    expect(all.items.map(({ id }: { id: string }) => id)).toEqual(ids);
    const some = (await cli('devices', 'available', '--limit', '120', '--json')).json();
    expect([some.items.length, some.nextCursor]).toEqual([120, expect.any(String)]);
    const { out } = await cli('devices', 'available', '--limit', '3');
    expect(out.split('\n')).toHaveLength(6);
    expect(out).toContain('3 of 230; --limit <n> or --all shows more');
  });

  test('prints nothing that steers a terminal', async () => {
    await bench.addDevices(1, { name: 'evil \u001b[31mred\u0007\nnext\u202e' });
    await allocated('ann');
    const { out } = await cli('list');
    expect(out).toContain('evil [31mred next');
    expect(out.trimEnd().split('\n')).toHaveLength(2);
  });
});

describe('extend and release', () => {
  test('say what changed', async () => {
    await bench.addDevices(1);
    const { allocationId } = await allocated('ann');
    const longer = await cli('extend', allocationId, '--by', '30m');
    expect(longer).toMatchObject({ code: 0, out: expect.stringMatching(/^✓ extended by 30 min\n(.*\n)*in all +1 h 30 min\n/) });
    const gone = await cli('release', allocationId, '--reason', 'maintenance');
    expect(gone).toMatchObject({ code: 0, out: expect.stringMatching(/^✓ released\n(.*\n)*ended as +released\n/) });
    const { out } = await cli('list', '--status', 'any');
    expect(out).toMatch(/^ALLOCATION +USER +DEVICE +STATE +ENDED/);
    expect(out).toMatch(/ released +(now|\d+ s ago)/);
  });

  test('give scripts the answer', async () => {
    await bench.addDevices(1);
    const { deviceId, fence } = await allocated('ann');
    const [{ allocationId }] = (await cli('list', '--json')).json().items;
    expect((await cli('extend', allocationId, '--by', '15', '--json')).json()).toMatchObject({ additionalMinutes: 15, extendCount: 1 });
    const released = await cli('release', '--device', deviceId, '--fence', String(fence), '--json');
    expect(released.json()).toMatchObject({ allocationId, deviceId, endReason: 'released' });
  });

  test('are refused with the limits to go by', async () => {
    await bench.addDevices(1);
    const { allocationId } = await allocated('ann');
    const { code, errors } = await cli('extend', allocationId, '--by', '600');
    expect(code).toBe(1);
    expect(errors).toMatch(/^VALIDATION_FAILED {2}/);
    expect(errors).toContain('additionalMinutes is said with --by.');
    expect(await cli('release', NOBODY)).toMatchObject({ code: 1, errors: expect.stringContaining('ALLOCATION_NOT_FOUND') });
  });
});

describe('queue', () => {
  test('joins, shows, lists, counts and leaves', async () => {
    await bench.addDevices(1);
    await allocated('ann');
    const joined = await cli('queue', 'join', 'bob', '--type', 'phone', '--for', '45');
    expect(joined).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^entry +\S{36}\nuser +bob \(standard\)\nstate +waiting\nposition +1, next\n/),
    });
    const entry = UUID.exec(joined.out)?.[0] ?? '';
    const [table, document] = await both('queue');
    expect(table.out).toMatch(new RegExp(`^ENTRY .*\n${entry} {2}bob +waiting +`));
    expect(document.json()).toMatchObject({ items: [{ id: entry, userId: 'bob' }], total: 1 });
    const [shown, shownDocument] = await both('queue', 'show', entry);
    expect(shown.out).toContain('wants           phone for 45 min');
    expect(shownDocument.json()).toMatchObject({ entry: { id: entry }, position: { position: 1, reason: 'POOL_BUSY' } });
    const [stats, statsDocument] = await both('queue', 'stats');
    expect(stats.out).toMatch(/^waiting +1 \(standard 1\)\n/);
    expect(statsDocument.json()).toMatchObject({ waiting: 1, byTier: { standard: 1 } });
    expect(await cli('queue', 'leave', entry, '--reason', 'enough')).toMatchObject({ code: 0, out: '✓ bob left the queue\n' });
    expect((await cli('queue', 'show', entry)).out).toMatch(/\nwhy +enough\n/);
    expect((await cli('queue')).out).toBe('Nobody waits.\n');
  });

  test('joins for scripts with the entry alone', async () => {
    await bench.addDevices(1);
    await allocated('ann');
    expect((await cli('queue', 'join', 'bob', '--json')).json()).toMatchObject({ userId: 'bob', status: 'waiting', queuePosition: 1 });
    expect((await cli('queue', 'join', 'bob', '--json')).errors).toContain('"code": "ALREADY_QUEUED"');
  });
});

describe('reservations', () => {
  test('are booked, listed, shown and cancelled', async () => {
    await bench.addDevices(1);
    const booked = await cli('reservations', 'book', 'ann', '--start', '+2h', '--for', '1h');
    expect(booked).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^✓ reserved\nreservation +\S{36}\nuser +ann \(standard\)\nstate +confirmed\n/),
    });
    const reservation = UUID.exec(booked.out)?.[0] ?? '';
    const [table, document] = await both('reservations');
    expect(table.out).toMatch(new RegExp(`^RESERVATION .*\n${reservation} {2}ann +confirmed +in (2 h|1 h 59 min)`));
    expect(widthOf(table.out)).toBeLessThanOrEqual(80);
    expect(document.json()).toMatchObject({ items: [{ id: reservation, status: 'confirmed', durationMinutes: 60 }], total: 1 });
    expect((await cli('reservations', 'show', reservation)).out).toMatch(/\nends +.* in (3 h|2 h 59 min) \(1 h\)\n/);
    expect((await cli('reservations', 'show', reservation, '--json')).json()).toMatchObject({ id: reservation });
    expect((await cli('reservations', 'cancel', reservation, '--reason', 'rain')).out).toMatch(/^✓ cancelled\n(.*\n)*why +rain\n/);
  });

  test('take no time without a zone', async () => {
    const { code, errors } = await cli('reservations', 'book', 'ann', '--start', '2030-05-17 09:00', '--for', '60');
    expect({ code, errors }).toEqual({ code: 2, errors: expect.stringContaining('It must be 2030-05-17T09:00:00Z') });
  });
});

describe('devices', () => {
  const line = (id: string, changes: object = {}) =>
    JSON.stringify({
      id,
      name: 'phone',
      type: 'phone',
      status: 'running',
      providerType: 'redroid',
      cpuCores: 4,
      memoryMB: 4096,
      storageMB: 65_536,
      ...changes,
    });
  const ids = [1, 2, 3].map((number) => `00000000-0000-4000-8000-00000000000${number}`);

  test('are imported from standard input, and every wrong line is told', async () => {
    const fleet = [...ids.map((id) => line(id)), line('4'), 'no json'].join('\n');
    const { code, out } = await cli.fed(fleet)('devices', 'import', '-');
    expect(code).toBe(1);
    expect(out).toMatch(/^✗ 5 lines in \d+\.\d s \([\d,]+ lines\/s\)\ncreated {2}3\nupdated {2}0\nfailed {3}2\n/);
    expect(out).toContain('line 4  VALIDATION_FAILED\n        id: ');
    expect(out).toContain('line 5  VALIDATION_FAILED\n        is not JSON\n');
    const again = await cli.fed(ids.map((id) => line(id)).join('\n'))('devices', 'import', '-', '--json');
    expect({ code: again.code, ...again.json() }).toEqual({ code: 0, received: 3, created: 0, updated: 3, failed: 0, errors: [] });
  });

  test('are not imported from a file that is not there', async () => {
    const { code, errors } = await cli('devices', 'import', '/no/such/file.ndjson');
    expect({ code, errors }).toEqual({
      code: 2,
      errors: expect.stringMatching(/^error {2}\/no\/such\/file.ndjson cannot be read: ENOENT/),
    });
  });

  test('show how far an import is that takes its time', async () => {
    const env = { PATH: process.env['PATH'], SCHEDULER_URL: api.url, SCHEDULER_TOKEN: await superToken() };
    const child = spawn(process.execPath, ['--no-warnings', 'cli/main.ts', 'devices', 'import', '-'], {
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const exit = once(child, 'close');
    child.stdin.write(`${line(ids[0] ?? '')}\n`);
    const [progress] = await once(child.stderr.setEncoding('utf8'), 'data');
    expect(progress).toMatch(/^1 lines sent, \d+ lines\/s, \d+ s\n$/);
    child.stdin.end();
    expect(await exit).toEqual([0, null]);
  });

  test('are drained and taken back', async () => {
    const [id = ''] = await bench.addDevices(1);
    expect(await cli('devices', 'drain', id)).toMatchObject({ code: 0, out: `✓ ${id} is drained\n` });
    expect((await cli('devices', 'available')).out).toBe('No such device is free.\n');
    expect((await cli('devices', 'activate', id, '--json')).json()).toEqual({ id });
    expect((await cli('devices', 'available')).out).toMatch(
      new RegExp(`^DEVICE +NAME +TYPE +CPU +MEMORY.*\n${id} {2}device 0 +phone +4 +4 GB`),
    );
  });
});

async function superToken(): Promise<string> {
  const { authorization = '' } = await asUser('root', { roles: ['admin'], isSuperAdmin: true });
  return authorization.replace('Bearer ', '');
}

describe('operations', () => {
  test('list dead letters and try them again', async () => {
    await writeOutbox(
      bench.store,
      [1, 2, 3].map((number) => ({ channel: 'usage', topic: 'increment', key: `a${number}`, payload: { userId: 'ann' } })),
    );
    await bench.store.prisma.outboxEntry.updateMany({
      data: { status: 'dead', attempts: 7, lastError: 'user-service answered\n\u001b[2J400' },
    });
    const [table, document] = await both('dead-letters', 'list', '--kind', 'usage');
    expect(table.out).toMatch(/^LETTER +KIND +ERROR/);
    expect(table.out).toContain('user-service answered [2J400');
    expect(document.json()).toMatchObject({ total: 3, items: [{ kind: 'usage', attempts: 7 }, {}, {}] });
    const [{ id }] = document.json().items;
    expect(await cli('dead-letters', 'retry', id)).toMatchObject({ code: 0, out: `✓ ${id} is tried again\n` });
    expect(await cli('dead-letters', 'retry', id)).toMatchObject({ code: 1, errors: expect.stringContaining('DEAD_LETTER_NOT_FOUND') });
    expect((await cli('dead-letters', 'retry', '--limit', '1', '--json')).json()).toMatchObject({ count: 1 });
    expect((await cli('dead-letters', 'retry')).out).toBe('✓ 1 are tried again\n');
    expect((await cli('dead-letters')).out).toBe('There is none: everything was delivered.\n');
  });

  test('list jobs, run, pause and resume them', async () => {
    const [table, document] = await both('jobs');
    expect(table.out).toMatch(/^JOB +EVERY +STATE +LAST RUN +TOOK/);
    expect(table.out).toMatch(/\nexpire +1 s +ok +never\n/);
    expect(document.json().total).toBe(ALL_SCHEDULES.length);
    expect(await cli('jobs', 'pause', 'expire')).toMatchObject({ code: 0, out: '✓ expire is paused\n' });
    expect((await cli('jobs', 'list')).out).toMatch(/\nexpire +1 s +paused/);
    expect((await cli('jobs', 'resume', 'expire', '--json')).json()).toMatchObject({ name: 'expire', paused: false });
    expect(await cli('jobs', 'run', 'stats')).toMatchObject({ code: 0, out: '✓ stats was handed to the workers\n' });
    expect(await cli('jobs', 'run', 'dance')).toMatchObject({ code: 2, errors: expect.stringContaining('Allowed choices are expire') });
  });

  test('list strategies and put one in force by its name', async () => {
    const [table, document] = await both('strategies');
    expect(table.out).toMatch(/\n● {2}resource_based +resource_based +100/);
    expect(document.json().items).toHaveLength(8);
    expect(await cli('strategies', 'activate', 'round_robin')).toMatchObject({ code: 0, out: '✓ round_robin (round_robin) is in force\n' });
    expect((await cli('strategies', 'activate', 'resource_based', '--json')).json()).toMatchObject({ active: true });
    const wrong = await cli('strategies', 'activate', 'best');
    expect(wrong).toMatchObject({
      code: 2,
      errors: expect.stringMatching(/^error {2}There is no strategy best\.\n→ There are: .*round_robin/),
    });
  });

  test('show a user', async () => {
    await bench.addDevices(1);
    await allocated('ann');
    const [text, document] = await both('users', 'show', 'ann');
    expect(text.out).toMatch(/^user +ann\nstate +active\nholds +1 device, 4 cores, 4096 MB\n/);
    expect(document.json()).toMatchObject({ userId: 'ann', blocked: false, use: { devices: 1 } });
    expect(await cli('users', 'show', 'nobody/../x')).toMatchObject({ code: 1, errors: expect.stringMatching(/^NOT_FOUND/) });
  });

  test('check every invariant, and end with 1 when one is broken', async () => {
    const [text, document] = await both('invariants');
    expect(text).toMatchObject({ code: 0, out: expect.stringMatching(/^✓ one live allocation per device\n(✓ .*\n)+\nall \d+ hold\n$/) });
    expect(document.json()).toMatchObject({ ok: true });
    await bench.addDevices(1);
    const { allocationId } = await allocated('ann');
    await bench.store.prisma.$executeRaw`DELETE FROM outbox`;
    const broken = await cli('invariants');
    expect(broken.code).toBe(1);
    expect(broken.out).toContain(`✗ every grant and every end has one event and one usage report (1)\n    ${allocationId}\n`);
    expect(await cli('doctor', '--invariants', '--json')).toMatchObject({ code: 1, out: expect.stringContaining(allocationId) });
  });
});

describe('a failure', () => {
  test('of the command line ends with 2 and says what is allowed', async () => {
    const { code, out, errors } = await cli('list', '--status', 'gone');
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(errors).toMatch(/^error {2}.*Allowed choices are allocated, released, expired, any\.\n→ cloudphone-scheduler list --help\n$/);
  });

  test('to reach the API ends with 3 and says how to start it', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.close();
    await once(server, 'close');
    const { code, errors } = await cli('list', '--url', url);
    expect(code).toBe(3);
    expect(errors).toMatch(
      new RegExp(`^UNREACHABLE {2}The API at ${url} cannot be reached \\(ECONNREFUSED\\)\\.\n→ Start it: \`npm start\``),
    );
    expect(JSON.parse((await cli('list', '--url', url, '--json')).errors)).toMatchObject({ error: { code: 'UNREACHABLE', exitCode: 3 } });
  });

  test('in the middle of a write says how to repeat it safely', async () => {
    const server = createServer((request) => request.socket.destroy()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { code, errors } = await cli('allocate', 'ann', '--url', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.close();
    expect(code).toBe(3);
    expect(errors).toMatch(new RegExp(`To repeat it safely, add --idempotency-key ${UUID.source}\n`));
  });

  test('to find the API behind an address is told apart from a refusal', async () => {
    const server = createServer((_request, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Hello</h1>'),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const said = await cli('list', '--url', url);
    const looked = await cli('doctor', '--url', url);
    server.close();
    expect(said).toMatchObject({
      code: 3,
      errors: expect.stringContaining(`${url} answered 200 (text/html), and not as the scheduler does.`),
    });
    expect(looked).toMatchObject({ code: 1, out: expect.stringMatching(/✗ api +.*answers 200/) });
  });

  test('to be allowed ends with 4', async () => {
    const { authorization = '' } = await asUser('eve');
    const asEve = cli.with({ SCHEDULER_TOKEN: authorization.replace('Bearer ', '') });
    expect(await asEve('jobs')).toMatchObject({ code: 4, errors: expect.stringMatching(/^FORBIDDEN/) });
    expect(await asEve('list')).toMatchObject({ code: 0 });
    const { authorization: forged = '' } = await asUser('eve', {}, 'a secret nobody has in this world of ours');
    expect(await cli('list', '--token', forged.replace('Bearer ', ''))).toMatchObject({
      code: 4,
      errors: expect.stringMatching(/^UNAUTHENTICATED/),
    });
  });

  test('for too many calls ends with 5 and says when to ask again', async () => {
    const strict = await bench.start({ rateLimits: { batch: 1 } });
    const asked = cli.with({ SCHEDULER_URL: strict.url });
    await asked('invariants');
    expect(await asked('invariants')).toMatchObject({
      code: 5,
      errors: expect.stringMatching(/^RATE_LIMITED .*\n(.*\n)*→ Ask again in \d+ s\.\n/),
    });
    await strict.close();
  });
});

describe('in production', () => {
  const production = () => cli.with({ NODE_ENV: 'production' });

  test('no token is made', async () => {
    expect(await production()('token', '--user', 'ann')).toMatchObject({
      code: 1,
      out: '',
      errors: expect.stringContaining('not made here in production'),
    });
    expect(await production()('list')).toMatchObject({
      code: 4,
      errors: expect.stringMatching(/^UNAUTHENTICATED {2}There is no token\.\n→ Put one into SCHEDULER_TOKEN/),
    });
  });

  test('the token of the platform is enough, and no other variable is needed', async () => {
    const bare = { NODE_ENV: 'production', JWT_SECRET: undefined, SERVICE_TOKEN_SECRET: undefined, DASHBOARD_PASSWORD: undefined };
    const said = await cli.with({ ...bare, SCHEDULER_TOKEN: await superToken() })('list', '--json');
    expect(said).toMatchObject({ code: 0, errors: '' });
  });
});

describe('the look', () => {
  test('has colours when they are forced, and none with NO_COLOR', async () => {
    const colour = '\u001b[';
    expect((await cli.with({ FORCE_COLOR: '1' })('jobs')).out).toContain(colour);
    expect((await cli.with({ FORCE_COLOR: '1', NO_COLOR: '1' })('jobs')).out).not.toContain(colour);
  });

  test('stays aligned with colours and wide characters', async () => {
    await bench.addDevices(1, { name: '平板电脑' });
    const { out } = await cli('devices', 'available');
    const [head = '', row = ''] = out.split('\n');
    // Four characters that are two columns each.
    expect(row.indexOf('phone') + 4).toBe(head.indexOf('TYPE'));
  });
});

describe('a token', () => {
  test('is printed, alone or as a document with its header', async () => {
    const [text, document] = await both('token', '--service', 'gateway');
    expect(text.out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect(document.json()).toEqual({ token: expect.any(String), header: expect.stringMatching(/^X-Service-Token: /) });
    expect(await cli('token', '--user', 'ann', '--tier', 'gold')).toMatchObject({
      code: 2,
      errors: expect.stringContaining('no tier gold'),
    });
  });
});
