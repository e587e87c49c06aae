import { spawnSync } from 'node:child_process';
import type { Installable } from '../../scripts/services/install.ts';
import { programPath } from '../../scripts/services/run.ts';

/** Prometheus with its own checker. The set-up of the tests installs it. */
export const PROMETHEUS: Installable = {
  name: 'prometheus',
  packages: { apt: 'prometheus', brew: 'prometheus' },
  hasPrograms: () => ['prometheus', 'promtool'].every((program) => programPath(program) !== undefined),
};

/** Runs promtool. @returns its exit code and everything it said */
export function promtool(args: readonly string[], input = ''): { readonly code: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return { code: status, said: `${stdout}${stderr}` };
}
