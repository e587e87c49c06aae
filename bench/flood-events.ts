import { randomUUID } from 'node:crypto';

/** One event of another service, as it is published. */
export interface FloodEvent {
  readonly topic: string;
  readonly eventId: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** So many events as they might come, and what they come to. */
export interface Flood {
  /** In the order they are sent, repeats included. */
  readonly events: readonly FloodEvent[];
  /** Those that are no repeat. */
  readonly different: number;
  /** Among them, failed payments and low balances: each is counted by the user it is about. */
  readonly failedPayments: number;
  readonly lowBalances: number;
}

/** One in ten comes again, as after an acknowledgement that was lost. */
const REPEATED_EVERY = 10;
const MOST_BALANCE = 100;

type Make = (deviceId: string, userId: string, number: number) => readonly [string, Readonly<Record<string, unknown>>];

/** What twenty events in a row are: devices say how they are doing most of the time. */
const MIX: readonly (readonly [number, Make])[] = [
  [10, (deviceId, _, number) => ['device.usage', { deviceId, cpuUsage: number % 100, memoryUsage: number % 90, storageUsage: 10 }]],
  [4, (deviceId, _, number) => ['device.health', { deviceId, healthScore: 50 + (number % 50) }]],
  [2, (deviceId) => ['device.status_changed', { deviceId, newStatus: 'running' }]],
  [2, (_, userId) => ['billing.payment_failed', { userId, amount: '9.90' }]],
  [1, (_, userId) => ['quota.updated', { userId, limits: { maxDevices: 5 } }]],
  [1, (_, userId, number) => ['billing.balance_low', { userId, currentBalance: number % MOST_BALANCE }]],
];
const ROUND = MIX.flatMap(([times, make]) => Array.from({ length: times }, () => make));

/**
 * Makes a flood of events about some devices and users.
 *
 * @param count  repeats included
 */
export function makeFlood(count: number, deviceIds: readonly string[], userIds: readonly string[]): Flood {
  const events: FloodEvent[] = [];
  const firsts: FloodEvent[] = [];
  while (events.length < count) {
    const number = firsts.length;
    const again = firsts.at(-Math.ceil(REPEATED_EVERY / 2));
    if (events.length % REPEATED_EVERY === REPEATED_EVERY - 1 && again !== undefined) {
      events.push(again);
      continue;
    }
    const [topic, body] = madeUp(number, deviceIds, userIds);
    const event = { topic, eventId: randomUUID(), body };
    events.push(event);
    firsts.push(event);
  }
  const of = (topic: string) => firsts.filter((event) => event.topic === topic).length;
  return { events, different: firsts.length, failedPayments: of('billing.payment_failed'), lowBalances: of('billing.balance_low') };
}

function madeUp(number: number, deviceIds: readonly string[], userIds: readonly string[]) {
  const make = ROUND[number % ROUND.length];
  const deviceId = deviceIds[number % deviceIds.length];
  const userId = userIds[number % userIds.length];
  if (make === undefined || deviceId === undefined || userId === undefined) throw new Error('a flood needs devices and users');
  return make(deviceId, userId, number);
}
