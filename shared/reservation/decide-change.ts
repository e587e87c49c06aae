import type { Refusal } from '../allocation/decide-eligibility.ts';
import { isOpen, type ReservationStatus } from './reservation.ts';

/** May it be changed or cancelled? Only before it has begun: who wants to end a running one releases its allocation. */
export function decideChange(status: ReservationStatus): Refusal | undefined {
  if (isOpen(status)) return undefined;
  const running = status === 'executing';
  return {
    code: 'STATE_CONFLICT',
    reason: running ? 'it has begun: extend or release its allocation' : `it is ${status} already`,
    details: { status },
  };
}
