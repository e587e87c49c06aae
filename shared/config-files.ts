import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';

type Environment = Readonly<Record<string, string | undefined>>;

/** An address may be said in one variable or in parts; whoever says a part does not mean the kept address. */
const KEPT_ADDRESSES: readonly { readonly url: string; readonly parts: string }[] = [
  { url: 'DATABASE_URL', parts: 'DB_' },
  { url: 'REDIS_URL', parts: 'REDIS_' },
];

/**
 * What a process is told: its environment, over `.env`, over what `npm run services -- up` keeps in `.services/env`
 * (addresses of the private servers and generated secrets). In production nothing generated is used.
 *
 * @param said    usually `process.env`; what is set there wins, also when it is set to nothing
 * @param folder  where the two files are looked for, usually the folder the process runs in
 */
export function readEnvironment(said: Environment = process.env, folder: string = process.cwd()): Environment {
  const words = { ...parsed(join(folder, '.env')), ...said };
  if (words['NODE_ENV'] === 'production') return words;
  const kept = parsed(join(folder, '.services', 'env'));
  const names = Object.keys(words).filter((name) => words[name] !== undefined);
  for (const { url, parts } of KEPT_ADDRESSES) if (names.some((name) => name.startsWith(parts))) delete kept[url];
  return { ...kept, ...words };
}

function parsed(file: string): Record<string, string | undefined> {
  return existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {};
}
