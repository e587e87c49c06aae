import { CommanderError } from 'commander';
import { CliFailure } from './cli-failure.ts';
import { EXIT_CODES, type ExitName } from './exit-codes.ts';
import { createProgram } from './program.ts';
import { factsOf, failureDocument, failureText } from './report-failure.ts';
import { createScreen } from './screen.ts';
import type { Host } from './session.ts';

/**
 * Runs one command line.
 *
 * @param words  what was said after the name of the program
 * @returns the exit code; whatever went wrong has been told on standard error
 */
export async function runCli(words: readonly string[], host: Omit<Host, 'exitWith'>): Promise<number> {
  let exit: ExitName = 'done';
  const program = createProgram({ ...host, exitWith: (name) => (exit = name) });
  try {
    await program.parseAsync([...words], { from: 'user' });
    return EXIT_CODES[exit].code;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.code.startsWith('commander.help'))
      return thrown.exitCode === 0 ? 0 : EXIT_CODES.usage.code;
    const facts = factsOf(thrown instanceof CommanderError ? wrongWords(thrown, words) : thrown);
    const text = words.includes('--json') ? failureDocument(facts) : failureText(facts, createScreen(host.stderr, host.environment));
    host.stderr.write(`${text}\n`);
    return EXIT_CODES[facts.exit].code;
  }
}

function wrongWords({ message }: CommanderError, words: readonly string[]): CliFailure {
  const [first = '', ...more] = message.replace(/^error: /, '').split('\n');
  const verb = words.slice(0, words.findIndex((word) => !/^[a-z-]+$/.test(word) || word.startsWith('-')) >>> 0);
  const help = ['cloudphone-scheduler', ...verb.slice(0, 2), '--help'].join(' ');
  return new CliFailure({
    exit: 'usage',
    code: 'USAGE',
    messages: [first, ...more.map((line) => line.replace(/^\((.*)\)$/, '$1'))],
    hints: [help],
  });
}
