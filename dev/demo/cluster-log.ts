import { createWriteStream } from 'node:fs';
import { formatLogLine, type LogLine } from '../cluster/log-line.ts';

const NAME_WIDTH = 12;

/** The log of every process, in one file. */
export interface ClusterLog {
  /** Warnings and errors so far. */
  readonly problems: readonly string[];
  take(line: LogLine): void;
}

export function openClusterLog(path: string): ClusterLog {
  const file = createWriteStream(path);
  const problems: string[] = [];
  return {
    problems,
    take: (line: LogLine) => {
      const text = formatLogLine(line, NAME_WIDTH, false);
      file.write(`${text}\n`);
      if (line.level >= 40) problems.push(text);
    },
  };
}
