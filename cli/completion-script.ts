import type { Command } from 'commander';
import { allNodes, type CommandNode, commandTree, defaultChild } from './command-tree.ts';

/** Shells that can be told how to complete. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;

export type Shell = (typeof SHELLS)[number];

/** Words offered at one place. */
interface Offer {
  readonly path: string;
  /** After this option; empty: where the next word of the command stands. */
  readonly after: string;
  readonly words: readonly string[];
}

/** A script to source: it knows every command, option and value a choice is made of. */
export function completionScript(shell: Shell, program: Command): string {
  const tree = commandTree(program);
  const paths = allNodes(tree).flatMap(({ path }) => (path === '' ? [] : [path]));
  const offers = allNodes(tree).flatMap(offersOf);
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](program.name(), paths, offers);
}

function offersOf(node: CommandNode): Offer[] {
  const fallback = defaultChild(node);
  const speaking = fallback === undefined ? [node] : [node, fallback];
  const options = speaking.flatMap(({ command }) => command.options);
  const values = speaking.flatMap(({ command }) => command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices));
  const long = options.flatMap((option) => option.long ?? []);
  const next: Offer = {
    path: node.path,
    after: '',
    words: [...node.children.map(({ command }) => command.name()), ...values, ...new Set([...long, '--help'])],
  };
  const after = options.flatMap(({ long: name, argChoices, required }) =>
    name === undefined || !required ? [] : [{ path: node.path, after: name, words: argChoices ?? [] }],
  );
  return [next, ...after];
}

/** The lines of a `case`: what is offered where. A value nobody can guess offers nothing. */
function cases(offers: readonly Offer[], indent: string): string {
  return offers.map(({ path, after, words }) => `${indent}'${path}|${after}') offered='${words.join(' ')}' ;;`).join('\n');
}

/**
 * What bash and zsh share: which command the words before the cursor name, then what can follow. A word is part of the
 * command as long as there is a command of that name.
 */
function body(paths: readonly string[], offers: readonly Offer[]): string {
  return `  for word in "\${before[@]}"; do
    case "\${path:+$path }$word" in
      ${paths.map((path) => `'${path}'`).join('|')}) path="\${path:+$path }$word" ;;
    esac
  done
  offered=none
  case "$path|$previous" in
${cases(
  offers.filter(({ after }) => after !== ''),
  '    ',
)}
  esac
  if [ "$offered" = none ]; then
    case "$path|" in
${cases(
  offers.filter(({ after }) => after === ''),
  '      ',
)}
    esac
  fi`;
}

function bashScript(name: string, paths: readonly string[], offers: readonly Offer[]): string {
  const id = `_${name.replaceAll('-', '_')}`;
  return `# bash completion of ${name}: eval "$(${name} completion bash)"
${id}() {
  local word path='' offered previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local before=("\${COMP_WORDS[@]:1:COMP_CWORD-1}")
${body(paths, offers)}
  COMPREPLY=($(compgen -W "$offered" -- "\${COMP_WORDS[COMP_CWORD]}" || true))
}
complete -o default -F ${id} ${name}
`;
}

function zshScript(name: string, paths: readonly string[], offers: readonly Offer[]): string {
  const id = `_${name.replaceAll('-', '_')}`;
  return `#compdef ${name}
# zsh completion of ${name}: source <(${name} completion zsh)
${id}() {
  local word path_ offered previous="\${words[CURRENT-1]}"
  local -a before=("\${(@)words[2,CURRENT-1]}")
${body(paths, offers)
  .replaceAll(/\$path\b/g, '$path_')
  .replaceAll('{path:', '{path_:')
  .replaceAll(' path=', ' path_=')}
  if [ -n "$offered" ]; then compadd -- \${=offered}; else _files; fi
}
compdef ${id} ${name}
`;
}

/** fish asks for conditions instead of one function: each offer is one line. */
function fishScript(name: string, paths: readonly string[], offers: readonly Offer[]): string {
  const id = `__${name.replaceAll('-', '_')}_at`;
  const lines = offers.map(({ path, after, words }) =>
    after === ''
      ? `complete -c ${name} -f -n "${id} '${path}'" -a '${words.filter((word) => !word.startsWith('--')).join(' ')}'`
      : `complete -c ${name} -n "${id} '${path}'" -l ${after.slice(2)} -x -a '${words.join(' ')}'`,
  );
  const flags = offers
    .filter(({ after }) => after === '')
    .flatMap(({ path, words }) => {
      const withValue = new Set(offers.filter((offer) => offer.path === path && offer.after !== '').map(({ after }) => after));
      const bare = words.filter((word) => word.startsWith('--') && !withValue.has(word));
      return bare.map((flag) => `complete -c ${name} -n "${id} '${path}'" -l ${flag.slice(2)}`);
    });
  return `# fish completion of ${name}: ${name} completion fish | source
function ${id}
  set -l path ''
  for word in (commandline -opc)[2..-1]
    switch (string trim -- "$path $word")
      case ${paths.map((path) => `'${path}'`).join(' ')}
        set path (string trim -- "$path $word")
    end
  end
  test "$path" = "$argv[1]"
end
${[...lines, ...flags].join('\n')}
`;
}
