import { execFileSync } from 'node:child_process';

/** The files that start a process of the cluster, as git knows them. */
export function processFiles(): readonly string[] {
  const found = execFileSync('git', ['ls-files', '*main.ts'], { encoding: 'utf8' }).trim().split('\n');
  return found.filter((file) => /^(api|dashboards|workers\/\w+)\/main\.ts$/.test(file));
}
