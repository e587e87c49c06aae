import { type Command, CommanderError } from 'commander';
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
    const facts = factsOf(thrown instanceof CommanderError ? wrongWords(thrown, words, program) : thrown);
    const text = words.includes('--json') ? failureDocument(facts) : failureText(facts, createScreen(host.stderr, host.environment));
    host.stderr.write(`${text}\n`);
    return EXIT_CODES[facts.exit].code;
  }
}

/** A wrong command line, with the page that says what is right. */
function wrongWords({ message, code }: CommanderError, words: readonly string[], program: Command): CliFailure {
  const { command, path, rest } = meant(program, words);
  const [first = '', ...more] = message.replace(/^error: /, '').split('\n');
  const names = command.commands.map((child) => child.name());
  // A verb that lists by default takes an unknown word for an argument too many.
  const unknown = code === 'commander.excessArguments' && names.length > 0;
  const said = unknown ? [`unknown command '${rest}'; there are ${names.join(', ')}`] : [first, ...more.map(bare)];
  return new CliFailure({ exit: 'usage', code: 'USAGE', messages: said, hints: [[...path, '--help'].join(' ')] });
}

const bare = (line: string) => line.replace(/^\((.*)\)$/, '$1');

/** The command that words lead to, and the first word that leads no further. */
function meant(program: Command, words: readonly string[]): { command: Command; path: string[]; rest: string } {
  let command = program;
  const path = [program.name()];
  for (const word of words) {
    const next = command.commands.find((child) => child.name() === word);
    if (next === undefined) return { command, path, rest: word };
    command = next;
    path.push(word);
  }
  return { command, path, rest: '' };
}
