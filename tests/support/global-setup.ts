import { spawnSync } from 'node:child_process';
import { installMissing } from '../../scripts/services/install.ts';
import { readEnvironment } from '../../shared/config-files.ts';
import { PROMETHEUS } from './promtool.ts';
import { prepareTemplate } from './template-database.ts';

/** Before the first test: the addresses of the servers into the environment, a migrated database to clone from, and the programs that only tests need. */
export default async function globalSetup(): Promise<void> {
  Object.assign(process.env, readEnvironment(), { NODE_ENV: 'test' });
  const missing = ['DATABASE_URL', 'REDIS_URL', 'RABBITMQ_URL'].filter((name) => !process.env[name]);
  if (missing.length > 0) throw new Error(`${missing.join(', ')} not set: npm run services -- up`);
  await installMissing([PROMETHEUS], '');
  process.env['TEST_TEMPLATE_DATABASE'] = await prepareTemplate(migrateApart);
}

/** In a process of its own, as the migration engine leaves a timer behind. */
function migrateApart(databaseUrl: string): void {
  const env = { ...process.env, DATABASE_URL: databaseUrl };
  const { status, stderr } = spawnSync(process.execPath, ['--no-warnings', 'scripts/migrate.ts'], { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`The template database could not be migrated:\n${stderr}`);
}
