// npm run db:migrate: brings the configured database to the newest migration.
import { migrate } from '../prisma/migrate.ts';
import { loadConfig } from '../shared/config.ts';
import { readEnvironment } from '../shared/config-files.ts';

const loaded = loadConfig(readEnvironment());
if (!loaded.ok) {
  for (const { variable, problem } of loaded.problems) process.stderr.write(`${variable} ${problem}\n`);
  process.exit(1);
}
try {
  await migrate(loaded.config.DATABASE_URL, (line) => process.stderr.write(`migrate: ${line}\n`));
  // The engine's own lock leaves a timer of ten seconds behind.
  process.exit(0);
} catch (error) {
  process.stderr.write(`migrate: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
