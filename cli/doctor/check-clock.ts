import type { Finding } from './finding.ts';

/** A token may be this much ahead before the API refuses it, s; a deadline this wrong is a nuisance. */
const NOTICEABLE_S = 2;
const HARMFUL_S = 5;

/**
 * How far another clock is from ours. The answer was written somewhere between the two ends of the call.
 *
 * @param began  our clock when the call began and ended, ms since 1970
 */
export function distanceOf(name: string, whose: string, at: Date, began: number, ended: number): Finding {
  const early = Math.max(0, began - at.getTime());
  const late = Math.max(0, at.getTime() - ended);
  const seconds = Math.max(early, late) / 1_000;
  const words = `${seconds.toFixed(1)} s ${early > late ? 'behind' : 'ahead of'} this machine`;
  if (seconds < NOTICEABLE_S) return { name, status: 'ok', says: `${whose} and this machine agree` };
  return {
    name,
    status: seconds < HARMFUL_S ? 'warning' : 'failed',
    says: `${whose} is ${words}`,
    fix: ['Let NTP keep the clocks: `timedatectl set-ntp true`. Tokens are refused from 5 s on; deadlines go by Postgres.'],
  };
}
