/** How the command ends. A script can rely on these numbers; `--help` and docs/reference/cli.md print this table. */
export const EXIT_CODES = {
  done: { code: 0, meaning: 'done' },
  failed: { code: 1, meaning: 'the API refused, lines of an import failed, or a check found something wrong' },
  usage: { code: 2, meaning: 'the command line or a value is wrong; nothing was asked' },
  unreachable: { code: 3, meaning: 'the API cannot be reached or did not answer in time' },
  denied: { code: 4, meaning: 'the token is missing, not valid, or may not do that' },
  later: { code: 5, meaning: 'too much is asked or something is away for the moment; the same call can succeed later' },
  interrupted: { code: 130, meaning: 'interrupted with Ctrl-C' },
} as const;

/** The name of a way to end. */
export type ExitName = keyof typeof EXIT_CODES;
