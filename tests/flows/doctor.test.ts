import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { ALL_SCHEDULES } from '../../queues/schedules.ts';
import { createBreakerBoard } from '../../shared/clients/breaker-board.ts';
import { createLogger } from '../../shared/logger.ts';
import { type ApiBench, type ApiServer, asUser, openApiBench } from '../support/api-bench.ts';
import { type CommandLine, commandLine, widthOf } from '../support/command-line.ts';
import { eventually } from '../support/eventually.ts';
import { urlOf } from '../support/postgres.ts';
import { startPrivateRedis } from '../support/private-redis.ts';
import { rabbitmqUrl } from '../support/rabbitmq.ts';
import { redisUrl } from '../support/redis.ts';

/** Looking at servers that are away takes as long as it is patient, and a process loads the whole command. */
jest.setTimeout(180_000);

let bench: ApiBench;
let api: ApiServer;
let cli: CommandLine;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  cli = commandLine({
    SCHEDULER_URL: api.url,
    DATABASE_URL: bench.databaseUrl,
    REDIS_URL: redisUrl(),
    RABBITMQ_URL: rabbitmqUrl(),
    QUEUE_PREFIX: bench.prefix,
  });
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.prisma.$executeRaw`TRUNCATE scheduled_runs`;
});

/** Every job has just run, as if its worker were there. A little ahead, so that a slow machine is not late. */
async function jobsRan(): Promise<void> {
  for (const { name } of ALL_SCHEDULES)
    await bench.store.prisma.$executeRaw`INSERT INTO scheduled_runs (job, last_run_at, last_duration_ms, last_result)
      VALUES (${name}, now() + interval '1 minute', 5, '{}')`;
}

interface Finding {
  readonly name: string;
  readonly status: string;
  readonly says: string;
  readonly fix?: readonly string[];
}

const findings = (document: { checks: Finding[] }) => new Map(document.checks.map((finding) => [finding.name, finding]));

describe('the doctor', () => {
  test('finds nothing where nothing is wrong', async () => {
    await jobsRan();
    const { code, out } = await cli('doctor');
    expect(out).toMatch(/\n\n\d+ fine\n$/);
    for (const name of [
      'configuration',
      'postgres',
      'migrations',
      'redis policy',
      'rabbitmq',
      'api',
      'user-service',
      'token',
      'clock',
      'jobs',
      'dead letters',
    ])
      expect(out).toMatch(new RegExp(`^✓ ${name} `, 'm'));
    expect(widthOf(out)).toBeLessThanOrEqual(80);
    expect(code).toBe(0);
  });

  test('says of everything that is wrong how to mend it', async () => {
    const evicting = await startPrivateRedis('--maxmemory-policy', 'allkeys-lru', '--maxmemory', '100mb');
    const sick = cli.with({
      DATABASE_URL: urlOf('no_such_database'),
      REDIS_URL: evicting.address.url,
      RABBITMQ_URL: 'amqp://guest:wrong@127.0.0.1:1',
      USER_SERVICE_URL: 'http://127.0.0.1:1',
      SCHEDULER_TOCKEN: 'misspelt',
    });
    const [text, document] = [await sick('doctor'), await sick('doctor', '--json')];
    await evicting.kill();
    expect([text.code, document.code]).toEqual([1, 1]);
    const found = findings(document.json());
    expect(found.get('configuration')).toMatchObject({ status: 'warning', says: expect.stringContaining('SCHEDULER_TOCKEN') });
    expect(found.get('postgres')).toMatchObject({ status: 'failed', fix: [expect.stringContaining('npm run db:migrate')] });
    expect(found.get('redis policy')).toMatchObject({ status: 'failed', says: expect.stringContaining('allkeys-lru') });
    expect(found.get('redis policy')?.fix?.[0]).toBe('redis-cli CONFIG SET maxmemory-policy noeviction');
    expect(found.get('rabbitmq')).toMatchObject({ status: 'failed', says: expect.stringContaining('127.0.0.1:1 cannot be used') });
    expect(found.get('user-service')).toBeDefined();
    expect(found.get('job expire')).toMatchObject({ status: 'failed', fix: [expect.stringContaining('node workers/maintenance/main.ts')] });
    expect(found.get('job outbox-relay')).toMatchObject({ fix: [expect.stringContaining('node workers/relay/main.ts')] });
    expect(found.get('job reservations')).toMatchObject({ fix: [expect.stringContaining('node workers/reservations/main.ts')] });
    expect(text.out).toMatch(/✗ redis policy +Redis has maxmemory-policy allkeys-lru/);
    expect(text.out).toContain('→ redis-cli CONFIG SET maxmemory-policy noeviction');
    expect(text.out).not.toContain('guest:wrong');
  });

  test('names the Sentinels that lead to no Redis', async () => {
    const lost = cli.with({ REDIS_SENTINELS: '127.0.0.1:1', REDIS_SENTINEL_NAME: 'mymaster' });
    const found = findings((await lost('doctor', '--json')).json());
    const says = expect.stringMatching(/^mymaster of the Sentinels 127\.0\.0\.1:1 cannot be used: .*(unreachable|refused)/i);
    expect(found.get('redis')).toMatchObject({ status: 'failed', says });
  });

  test('sees that a database was not migrated, a job is paused, failed or late, and something could not be delivered', async () => {
    await jobsRan();
    await bench.store.prisma.$executeRaw`UPDATE scheduled_runs SET last_run_at = now() - interval '2 hours' WHERE job = 'waitlist'`;
    await bench.store.prisma.$executeRaw`UPDATE scheduled_runs SET last_error = 'deadlock' WHERE job = 'stats'`;
    await cli('jobs', 'pause', 'cleanup');
    const { code, json } = await cli.with({ DATABASE_URL: urlOf('postgres') })('doctor', '--json');
    const found = findings(json());
    expect(code).toBe(1);
    expect(found.get('migrations')).toMatchObject({ status: 'failed', says: expect.stringMatching(/^(\d+) of \1 are missing/) });
    expect(found.get('job waitlist')).toMatchObject({ status: 'failed', says: 'has not run for 2 h; it is due every 5 s' });
    expect(found.get('job stats')).toMatchObject({ status: 'failed', says: 'its last run failed: deadlock' });
    expect(found.get('job cleanup')).toMatchObject({ status: 'warning', fix: ['cloudphone-scheduler jobs resume cleanup'] });
  });

  test('looks at what it can when the API is away, or does not know who asks', async () => {
    const away = await cli('doctor', '--url', 'http://127.0.0.1:9', '--json', '--invariants');
    expect(away.code).toBe(1);
    const found = findings(away.json());
    expect(found.get('api')).toMatchObject({ status: 'failed', fix: [expect.stringContaining('npm start'), expect.any(String)] });
    expect(found.get('postgres')).toMatchObject({ status: 'ok' });
    expect(found.get('jobs')).toMatchObject({ status: 'skipped' });
    expect(found.get('invariants')).toMatchObject({ status: 'skipped' });
    const { authorization = '' } = await asUser('eve');
    const asEve = await cli('doctor', '--token', authorization.replace('Bearer ', ''), '--json');
    expect(asEve.code).toBe(1);
    expect(findings(asEve.json()).get('token')).toMatchObject({ status: 'failed', says: expect.stringContaining('not that of an admin') });
  });

  test('lists what is wrong with the configuration, and leaves servers alone it cannot know', async () => {
    const { code, json } = await cli.with({ PORT: 'many', EXPIRY_TICK: '0' })('doctor', '--json');
    expect(code).toBe(1);
    const wrong = (json().checks as Finding[]).filter(({ name }) => name === 'configuration').map(({ says }) => says);
    expect(wrong).toEqual([expect.stringMatching(/^PORT /), expect.stringMatching(/^EXPIRY_TICK /)]);
    expect(findings(json()).get('postgres, redis, rabbitmq')).toMatchObject({ status: 'skipped' });
  });

  test('says which breakers of the neighbours are open', async () => {
    const onBreaker = createBreakerBoard(bench.redis, bench.prefix, createLogger('test', 'silent'));
    // The API may answer by what it saw half a second ago.
    await eventually(async () => {
      onBreaker('billing', 'open');
      const found = findings((await cli('doctor', '--json')).json());
      expect(found.get('billing-service')).toMatchObject({ status: 'failed', fix: [expect.stringContaining('BILLING_SERVICE_URL')] });
    }, 60_000);
    onBreaker('billing', 'closed');
  });

  test('checks the invariants one by one if it is told to', async () => {
    const { out } = await cli('doctor', '--invariants');
    expect(out).toMatch(/^✓ one live allocation per device\n/);
    expect((await cli('doctor', '--invariants', '--json')).json().invariants.length).toBeGreaterThan(10);
  });
});
