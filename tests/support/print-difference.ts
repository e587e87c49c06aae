// Prints, as SQL, what would have to change for the database to be what schema.prisma says: nothing, when they agree.
// A process of its own, as the engine leaves a timer behind.
import { readFile } from 'node:fs/promises';
import { connectSchemaEngine } from '../../prisma/schema-engine.ts';

const path = 'prisma/schema.prisma';
const files = [{ path, content: await readFile(path, 'utf8') }];
const { engine } = await connectSchemaEngine(process.env['DATABASE_URL'] ?? '', files[0]?.content);
const { stdout } = await engine.diff({
  from: { tag: 'schemaDatasource', files, configDir: process.cwd() },
  to: { tag: 'schemaDatamodel', files },
  script: true,
  exitCode: null,
  filters: { externalTables: [], externalEnums: [] },
});
const statements = (stdout ?? '').split('\n').filter((line) => line !== '' && !line.startsWith('--'));
process.stdout.write(statements.join('\n'));
process.exit(0);
