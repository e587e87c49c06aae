import type { Command } from 'commander';

/** One command with everything that can be said to it: what completion and the reference page are made of. */
export interface CommandNode {
  /** Words from the program on: `queue list`; empty for the program itself. */
  readonly path: string;
  readonly command: Command;
  readonly children: readonly CommandNode[];
}

/** The commands below a program, `help` left out. */
export function commandTree(command: Command, path: string = ''): CommandNode {
  const children = command.commands.map((child) => commandTree(child, path === '' ? child.name() : `${path} ${child.name()}`));
  return { path, command, children };
}

/** Every command, parents before their children. */
export function allNodes(node: CommandNode): CommandNode[] {
  return [node, ...node.children.flatMap(allNodes)];
}

/** The child that is meant when none is named. */
export function defaultChild({ command, children }: CommandNode): CommandNode | undefined {
  // Commander keeps the name to itself.
  const name: unknown = Reflect.get(command, '_defaultCommandName');
  return children.find((child) => child.command.name() === name);
}
