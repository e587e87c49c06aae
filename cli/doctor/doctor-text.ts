import type { Screen } from '../screen.ts';
import { onOneLine, textWidth } from '../text-width.ts';
import { wrapText } from '../wrap-text.ts';
import type { Finding, FindingStatus } from './finding.ts';

const MARKS: Readonly<Record<FindingStatus, { sign: string; colour: 'green' | 'yellow' | 'red' | 'dim' }>> = {
  ok: { sign: '✓', colour: 'green' },
  warning: { sign: '!', colour: 'yellow' },
  failed: { sign: '✗', colour: 'red' },
  skipped: { sign: '–', colour: 'dim' },
};

/** Findings, one under the other; what to do stands below what is wrong. */
export function doctorText(screen: Screen, findings: readonly Finding[]): string {
  const { paint, width } = screen;
  const names = Math.max(...findings.map(({ name }) => textWidth(name)));
  const room = width - names - 4;
  const indent = ' '.repeat(names + 4);
  const lines = findings.flatMap(({ name, status, says, fix = [] }) => {
    const { sign, colour } = MARKS[status];
    const [first = '', ...more] = wrapText(onOneLine(says), room);
    const head = `${paint[colour](sign)} ${name}${' '.repeat(names - textWidth(name))}  ${status === 'skipped' ? paint.dim(first) : first}`;
    const rest = more.map((line) => `${indent}${status === 'skipped' ? paint.dim(line) : line}`);
    const steps = fix.flatMap((step) => wrapText(step, room - 2).map((line, at) => `${indent}${at === 0 ? paint.cyan('→') : ' '} ${line}`));
    return [head, ...rest, ...steps];
  });
  return `${lines.join('\n')}\n\n${sum(screen, findings)}`;
}

function sum({ paint }: Screen, findings: readonly Finding[]): string {
  const count = (status: FindingStatus) => findings.filter((finding) => finding.status === status).length;
  const [failed, warnings, passed, left] = [count('failed'), count('warning'), count('ok'), count('skipped')];
  const parts = [
    failed > 0 ? paint.red(`${failed} wrong`) : undefined,
    warnings > 0 ? paint.yellow(`${warnings} worth a look`) : undefined,
    paint.green(`${passed} fine`),
    left > 0 ? paint.dim(`${left} not looked at`) : undefined,
  ];
  return parts.filter((part) => part !== undefined).join(', ');
}
