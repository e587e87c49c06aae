import { UnrecoverableError } from 'bullmq';
import { DEAD_LETTER, deadLetterPayload } from '../../queues/jobs/dead-letter.ts';
import { DELIVER_BILLING, DELIVER_USAGE, deliverPayload } from '../../queues/jobs/deliver.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import { deliverBilling } from './deliver-billing.ts';
import { deliverUsage } from './deliver-usage.ts';
import type { DeliveryDeps } from './delivery-deps.ts';
import { reviveDeadLetter } from './revive-dead-letter.ts';

type DeliveryJob = typeof DELIVER_USAGE | typeof DELIVER_BILLING;

const DELIVERS = {
  [DELIVER_USAGE]: { kind: 'usage', deliver: deliverUsage },
  [DELIVER_BILLING]: { kind: 'billing', deliver: deliverBilling },
} as const satisfies Record<DeliveryJob, unknown>;

/** The handler of each job of the delivery queue. */
export function deliveryHandlers(deps: DeliveryDeps): Readonly<Record<DeliveryJob | typeof DEAD_LETTER, JobHandler>> {
  const handlerOf = (name: DeliveryJob): JobHandler =>
    checked(deliverPayload, async ({ kind, ids }, { signal }) => {
      if (kind !== DELIVERS[name].kind) throw new UnrecoverableError(`a ${name} job carries rows of ${kind}`);
      return DELIVERS[name].deliver(deps, ids, signal);
    });
  return {
    [DELIVER_USAGE]: handlerOf(DELIVER_USAGE),
    [DELIVER_BILLING]: handlerOf(DELIVER_BILLING),
    [DEAD_LETTER]: checked(deadLetterPayload, (letter, { attempt }) => reviveDeadLetter(deps.store, letter, attempt)),
  };
}
