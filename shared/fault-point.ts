/**
 * The numbered steps at which a process may be struck by a fault, each a line a crash must be survived at. `npm run chaos` and
 * the tests arm one of them from outside, by a module that is loaded in front of `main.ts`; nothing of the product does, so in
 * production a step costs one comparison.
 *
 * `tests/faults/fault-points.test.ts` holds the list and the call sites together, `tests/faults/kill-matrix.test.ts` kills a
 * process at each.
 */
export const FAULT_POINTS = {
  'grant.1': 'a job is taken, nothing is read',
  'grant.2': 'quota and balance are gathered',
  'grant.3': 'the locks in Redis are held',
  'grant.4': 'the users are locked, the facts are read',
  'grant.5': 'devices are picked and locked, nothing is written',
  'grant.6': 'everything is written, nothing is committed',
  'grant.7': 'committed, nobody is told',
  'grant.8': 'everybody is told, the job is not done',
  'release.1': 'a job is taken, nothing is read',
  'release.2': 'the facts are read, nothing is written',
  'release.3': 'everything is written, nothing is committed',
  'release.4': 'committed, nobody is told',
  'release.5': 'everybody is told, the job is not done',
  'end.1': 'the allocation has ended, its events are not written',
  'expire.1': 'the run is ours, nothing is looked at',
  'expire.2': 'the due rows are locked',
  'expire.3': 'everything is written, nothing is committed',
  'expire.4': 'committed, nobody is told',
  'expire.5': 'everybody is told, the run is not noted',
  'start.1': 'quota and balance of a due reservation are gathered',
  'start.2': 'user and reservation are locked',
  'start.3': 'leases in its way have ended',
  'start.4': 'the reservation has begun, its grant is not written',
  'start.5': 'everything is written, nothing is committed',
  'start.6': 'committed, nobody is told',
  'start.7': 'everybody is told, the run is not noted',
  'publish.1': 'due events are read',
  'publish.2': 'RabbitMQ has them, that is not noted',
  'publish.3': 'that is noted',
  'hand-out.1': 'rows are noted as handed out, there are no jobs',
  'hand-out.2': 'there are jobs',
  'bill.1': 'bills are claimed, billing is not asked',
  'bill.2': 'billing has them, that is not noted',
  'bill.3': 'that is noted, the job is not done',
  'report.1': 'reports of use are claimed, the user-service is not asked',
  'report.2': 'the user-service has them, that is not noted',
  'report.3': 'that is noted, the job is not done',
  'tell.1': 'notices are noted as handed out, there are no jobs',
  'tell.2': 'there are jobs for the notices',
  'notice.1': 'notices are claimed, the notification-service is not asked',
  'notice.2': 'the notification-service has them, that is not noted',
  'notice.3': 'that is noted, the job is not done',
  'consume.1': 'an event is read, there is no job',
  'consume.2': 'there is a job, the event is not acknowledged',
  'consume.3': 'the event is in the inbox, without its effect',
  'consume.4': 'its effect is written, nothing is committed',
  'consume.5': 'committed, nobody is told',
  'consume.6': 'everybody is told, the job is not done',
} as const satisfies Readonly<Record<string, string>>;

/** A numbered step of a verb. */
export type FaultPoint = keyof typeof FAULT_POINTS;

let struck: FaultPoint | undefined;
let strike: (() => void) | undefined;

/**
 * Says that a step is reached. Does nothing unless this very step was armed.
 *
 * @throws whatever the armed fault throws
 */
export function faultPoint(point: FaultPoint): void {
  if (point === struck) strike?.();
}

/**
 * Arms one step of this process. For tests and chaos only: no file of the product may call it.
 *
 * @param fault  called each time the step is reached: kills the process, blocks it, or throws
 */
export function armFaultPoint(point: FaultPoint, fault: () => void): void {
  struck = point;
  strike = fault;
}
