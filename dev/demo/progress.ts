import { overWays, percentile, type Tally } from './tally.ts';

/** Says how far the run is: one line rewritten for a person at a terminal, else a line every two seconds. */
export interface Progress {
  /** What is going on; shown in front of the counts, or instead of them. */
  phase(text: string): void;
  /** A line that stays. */
  note(text: string): void;
  stop(): void;
}

const TERMINAL_MS = 200;
const LINES_MS = 2_000;
const RECENT = 500;

/** @param requests  how many there will be */
export function showProgress(tally: Tally, requests: number, out: NodeJS.WriteStream): Progress {
  const startedAt = performance.now();
  let now = '';
  const clear = out.isTTY ? '\r\u001b[2K' : '';
  const end = out.isTTY ? '' : '\n';
  const show = () => {
    const line = [`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s`, now, counts(tally, requests)].join('  ');
    out.write(`${clear}${out.isTTY ? line.slice(0, out.columns - 1) : line}${end}`);
  };
  const timer = setInterval(show, out.isTTY ? TERMINAL_MS : LINES_MS);
  return {
    phase: (text) => {
      now = text;
    },
    note: (text) => void out.write(`${clear}${text}\n`),
    stop: () => {
      clearInterval(timer);
      show();
      if (out.isTTY) out.write('\n');
    },
  };
}

function counts(tally: Tally, requests: number): string {
  const recent = [...tally.ways.http.decisionMs.slice(-RECENT), ...tally.ways.client.decisionMs.slice(-RECENT)];
  const p95 = percentile(recent, 0.95);
  return [
    `sent ${tally.sent}/${requests}`,
    `granted ${overWays(tally, 'granted')}`,
    `refused ${overWays(tally, 'refused')}`,
    `waiting ${tally.waitingNow}`,
    `held ${tally.heldNow}`,
    `released ${tally.released}`,
    `p95 ${p95 === undefined ? '–' : `${Math.round(p95)} ms`}`,
  ].join('  ');
}
