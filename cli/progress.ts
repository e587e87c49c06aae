/** Says on standard error that something takes its time; nothing for what is done within two seconds. */
export interface Progress {
  /** What is going on, asked for whenever it is shown. */
  show(text: () => string): void;
  /** Takes the line away again. */
  stop(): void;
}

/** What is needed of `process.stderr`. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const PATIENCE_MS = 2_000;
const TERMINAL_MS = 200;
const LINES_MS = 5_000;

/**
 * A line that is rewritten on a terminal, else a line every five seconds.
 *
 * @param quiet  for scripts: only a terminal is told
 */
export function createProgress(stream: ProgressStream, quiet: boolean): Progress {
  const terminal = stream.isTTY === true;
  let timer: NodeJS.Timeout | undefined;
  let drawn = false;
  const stop = () => {
    clearTimeout(timer);
    timer = undefined;
    if (drawn && terminal) stream.write('\r\u001b[2K');
    drawn = false;
  };
  return {
    show: (text) => {
      stop();
      if (quiet && !terminal) return;
      const draw = () => {
        const line = text();
        stream.write(terminal ? `\r\u001b[2K${line.slice(0, (stream.columns ?? 80) - 1)}` : `${line}\n`);
        drawn = true;
        timer = setTimeout(draw, terminal ? TERMINAL_MS : LINES_MS);
        timer.unref();
      };
      timer = setTimeout(draw, PATIENCE_MS);
      timer.unref();
    },
    stop,
  };
}
