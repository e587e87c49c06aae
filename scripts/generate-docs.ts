// Writes .env.example and the reference pages of docs/ from the tables in the code, and the measured figures into the README and the guide to scaling.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { referencePages } from './reference-pages.ts';
import { ROOT } from './services/place.ts';

for (const { path, text } of referencePages()) {
  mkdirSync(dirname(join(ROOT, path)), { recursive: true });
  writeFileSync(join(ROOT, path), text);
  process.stdout.write(`${path}\n`);
}
