import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { readEnvironment } from './config-files.ts';
import { withSecrets } from './read-config.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'config-files-'));
  mkdirSync(join(folder, '.services'));
});

afterEach(() => rmSync(folder, { recursive: true }));

const keep = (text: string) => writeFileSync(join(folder, '.services', 'env'), text);
const say = (text: string) => writeFileSync(join(folder, '.env'), text);

describe('what a process is told', () => {
  test('is its environment, over .env, over what the private servers left', () => {
    keep('PORT=1\nHOST=one\nREDIS_URL=redis://kept\n');
    say('PORT=2\nHOST=two\n');
    expect(readEnvironment({ PORT: '3' }, folder)).toEqual({ PORT: '3', HOST: 'two', REDIS_URL: 'redis://kept' });
  });

  test('is the environment alone where there are no files', () => {
    expect(readEnvironment({ PORT: '3' }, join(folder, 'elsewhere'))).toEqual({ PORT: '3' });
  });

  test('is nothing generated in production', () => {
    keep('JWT_SECRET=kept\n');
    say('NODE_ENV=production\n');
    expect(readEnvironment({}, folder)).toEqual({ NODE_ENV: 'production' });
  });

  test('is no kept address for who says parts of another', () => {
    keep('DATABASE_URL=postgresql://kept\nREDIS_URL=redis://kept\n');
    expect(readEnvironment({ DB_HOST: 'mine' }, folder)).toEqual({ DB_HOST: 'mine', REDIS_URL: 'redis://kept' });
    expect(readEnvironment({ REDIS_CLUSTER_NODES: 'a:1' }, folder)).toEqual({
      REDIS_CLUSTER_NODES: 'a:1',
      DATABASE_URL: 'postgresql://kept',
    });
  });

  test('stays said when it is set to nothing: RABBITMQ_URL= turns events off', () => {
    keep('RABBITMQ_URL=amqp://kept\n');
    expect(readEnvironment({ RABBITMQ_URL: '' }, folder)).toEqual({ RABBITMQ_URL: '' });
  });
});

describe('secrets that nobody said', () => {
  test('are made up once, kept for the owner only, and the same for the next process', () => {
    const made = withSecrets({ JWT_SECRET: 'mine' }, folder);
    expect(made).toMatchObject({ JWT_SECRET: 'mine', SERVICE_TOKEN_SECRET: expect.any(String), DASHBOARD_PASSWORD: expect.any(String) });
    expect(statSync(join(folder, '.services', 'env')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, '.services', 'env'), 'utf8')).not.toContain('mine');
    expect(withSecrets(readEnvironment({ JWT_SECRET: 'mine' }, folder), folder)).toEqual(made);
  });

  test('are left alone when all are said', () => {
    const said = { JWT_SECRET: 'a', SERVICE_TOKEN_SECRET: 'b', DASHBOARD_PASSWORD: 'c' };
    expect(withSecrets(said, folder)).toBe(said);
  });
});
