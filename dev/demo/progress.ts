import { bar, time } from './amounts.ts';
import { dim, type Paper, wrap } from './paper.ts';
import { overWays, percentile, type Tally } from './tally.ts';

/** Says how far the run is: one line rewritten for a person at a terminal, else a line now and then. */
export interface Progress {
  /** What is going on; shown in front of the counts, or instead of them. */
  phase(text: string): void;
  /** A line that stays, with the time it was said at. */
  note(text: string): void;
  /** Says how it stands once more, and then nothing. A second call does nothing. */
  stop(): void;
}

const TERMINAL_MS = 200;
const LINES_MS = 5_000;
const RECENT = 500;
const BAR_WIDTH = 16;
/** As wide as the clock and the dot in front of a note. */
const NOTE_INDENT = 12;

/** @param requests  how many there will be */
export function showProgress(tally: Tally, requests: number, out: NodeJS.WriteStream, paper: Paper): Progress {
  const startedAt = performance.now();
  let now = '';
  let isOver = false;
  const clear = out.isTTY ? '\r\u001b[2K' : '';
  const clock = () => `${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s`;
  const show = () => {
    const width = (out.isTTY ? out.columns : paper.columns) - 1;
    const line = progressLine(tally, { clock: clock(), phase: now, requests, width });
    out.write(out.isTTY ? `${clear}${line}` : `${line}\n`);
  };
  const timer = setInterval(show, out.isTTY ? TERMINAL_MS : LINES_MS);
  return {
    phase: (text) => {
      now = text;
    },
    note: (text) => {
      const [first = '', ...rest] = wrap(text, paper.columns - NOTE_INDENT);
      const lines = [`${dim(clock(), paper)}  • ${first}`, ...rest.map((line) => `${' '.repeat(NOTE_INDENT)}${line}`)];
      out.write(`${clear}${lines.join('\n')}\n`);
      if (out.isTTY && !isOver) show();
    },
    stop: () => {
      if (isOver) return;
      isOver = true;
      clearInterval(timer);
      show();
      if (out.isTTY) out.write('\n');
    },
  };
}

/** One line no wider than `width`: what does not fit is left out, the least telling first. */
export function progressLine(
  tally: Tally,
  { clock, phase, requests, width }: { clock: string; phase: string; requests: number; width: number },
): string {
  const recent = [...tally.ways.http.decisionMs.slice(-RECENT), ...tally.ways.client.decisionMs.slice(-RECENT)];
  const share = tally.sent / Math.max(1, requests);
  const parts = [
    clock,
    phase.slice(0, Math.max(0, width - clock.length - 2)),
    ...(share < 1 ? [`▕${bar(share, BAR_WIDTH).padEnd(BAR_WIDTH)}▏${Math.floor(share * 100)} %`] : []),
    `granted ${overWays(tally, 'granted')}`,
    `held ${tally.heldNow}`,
    `waiting ${tally.waitingNow}`,
    `refused ${overWays(tally, 'refused')}`,
    `p95 ${time(percentile(recent, 0.95))}`,
    `released ${tally.released}`,
  ];
  let line = '';
  for (const part of parts) {
    const longer = line === '' ? part : `${line}  ${part}`;
    if (longer.length > width) break;
    line = longer;
  }
  return line;
}
