import { Argument, type Command } from 'commander';
import { completionScript, SHELLS, type Shell } from '../completion-script.ts';
import type { Host } from '../session.ts';

/** `completion <shell>`: a script to source. */
export function completionVerb(program: Command, host: Host): void {
  program
    .command('completion')
    .summary('print a completion script for your shell')
    .description(
      'Prints a script that completes commands, options and their values. Put into ~/.bashrc: eval "$(cloudphone-scheduler completion bash)"',
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .option('--json', 'one JSON document, for scripts')
    .action((shell: Shell, words: { json?: boolean }) => {
      const script = completionScript(shell, program);
      host.stdout.write(words.json === true ? `${JSON.stringify({ shell, script }, null, 2)}\n` : script);
    });
}
