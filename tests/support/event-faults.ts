import type { Store, Transaction } from '../../shared/store/store.ts';

/** Failures that are planned for the effects of events. */
export interface EventFaults {
  /** Fails what is planned: everything the event asks for is done, and undone before the commit. */
  readonly store: Store;
  /** The next so many attempts at this event fail. */
  plan(eventId: string, times: number): void;
}

/** Puts planned failures between the handlers of events and their store. */
export function createEventFaults(store: Store): EventFaults {
  const left = new Map<string, number>();
  const strike = (eventId: string) => {
    const times = left.get(eventId) ?? 0;
    if (times === 0) return;
    left.set(eventId, times - 1);
    throw new Error('a fault that was planned');
  };
  return {
    plan: (eventId, times) => void left.set(eventId, times),
    store: {
      ...store,
      transaction: (work) =>
        store.transaction(async (tx) => {
          const taken: unknown[] = [];
          const result = await work(watched(tx, taken));
          for (const eventId of taken) strike(String(eventId));
          return result;
        }),
    },
  };
}

/** A transaction that says which events are taken in it. */
function watched(tx: Transaction, taken: unknown[]): Transaction {
  return new Proxy(tx, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (name !== '$executeRaw') return member;
      return (strings: readonly string[], ...values: unknown[]) => {
        if (strings.join('').includes('INSERT INTO inbox')) taken.push(values[0]);
        return (member as (...all: unknown[]) => unknown).call(target, strings, ...values);
      };
    },
  });
}
