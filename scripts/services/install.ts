import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { during, say } from './progress.ts';
import { attempt, programPath, run } from './run.ts';

const POLICY = '/usr/sbin/policy-rc.d';

/** Something whose programs may be missing. */
export interface Installable {
  readonly name: string;
  readonly packages: { readonly apt: string; readonly brew: string };
  hasPrograms(): boolean;
}

/**
 * Installs the programs that are missing.
 *
 * @param otherwise  what else one can do, for the sentence of the error
 * @throws Error with one clear sentence with the choices where it cannot
 */
export async function installMissing(wanted: readonly Installable[], otherwise: string): Promise<void> {
  const missing = wanted.filter((program) => !program.hasPrograms());
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name).join(', ');
  const install = await installer(missing);
  if (install === undefined) throw new Error(choices(names, otherwise));
  say(`Installing ${names} …`);
  await during('installing', install());
  const still = missing.filter((program) => !program.hasPrograms());
  if (still.length > 0) throw new Error(choices(still.map(({ name }) => name).join(', '), otherwise));
}

function choices(names: string, otherwise: string): string {
  return `${names} cannot be installed from here: ${otherwise}run this as root or with sudo on Debian or Ubuntu, or install Homebrew.`;
}

async function installer(missing: readonly Installable[]): Promise<(() => Promise<void>) | undefined> {
  if (programPath('apt-get') !== undefined) {
    const sudo = await asRoot();
    if (sudo !== undefined)
      return () =>
        withApt(
          sudo,
          missing.map(({ packages }) => packages.apt),
        );
  }
  const brew = programPath('brew', ['/opt/homebrew/bin', '/usr/local/bin']);
  if (brew === undefined) return undefined;
  return async () => void (await run(brew, ['install', ...missing.map(({ packages }) => packages.brew)]));
}

/** The words in front of a command that needs root; nothing when there is no way to root. */
async function asRoot(): Promise<readonly string[] | undefined> {
  if (process.getuid?.() === 0) return [];
  if (programPath('sudo') === undefined) return undefined;
  return (await attempt('sudo', ['-n', 'true'])).code === 0 ? ['sudo', '-n'] : undefined;
}

/** The packages would start system instances; where we may, Debian's own switch (policy-rc.d) keeps them from it. */
async function withApt(sudo: readonly string[], packages: readonly string[]): Promise<void> {
  const apt = (...args: string[]) => {
    const [program = '', ...rest] = [...sudo, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args];
    return run(program, rest);
  };
  const own = sudo.length === 0 && !existsSync(POLICY);
  if (own) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await apt('update');
    await apt('install', '-y', '--no-install-recommends', ...packages);
  } finally {
    if (own) rmSync(POLICY);
  }
}
