import type { Store, Transaction } from '../../shared/store/store.ts';

/** One of two who are at the same rows. Its transaction goes through the store it is given. */
export type Side<T> = (store: Store) => Promise<T>;

/** In front of so many different statements of the one ahead does the other begin, one a pair of rounds. */
const LEADS = 6;

/**
 * Lets two sides meet at the same instant. Both transactions are open before either says a word; then one begins, and the
 * other in the tick in which the first sends its statement number `lead`, or at the latest before it commits. Rounds go
 * through who is ahead and by how much, so each order is met that statements can come in. The one behind holds no lock
 * while it waits for its turn: all other waiting is done by the database.
 *
 * @param round  from 0
 */
export async function contest<X, Y>(store: Store, round: number, one: Side<X>, other: Side<Y>): Promise<[X, Y]> {
  const lead = 1 + (Math.floor(round / 2) % LEADS);
  if (round % 2 === 0) return meet(store, lead, one, other);
  const [second, first] = await meet(store, lead, other, one);
  return [first, second];
}

/** Plays rounds, so many at once: what they are about must not be the same. */
export async function playRounds(count: number, atOnce: number, play: (round: number) => Promise<void>): Promise<void> {
  let next = 0;
  const goOn = async () => {
    while (next < count) {
      next += 1;
      await play(next - 1);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, goOn));
}

async function meet<A, B>(store: Store, lead: number, ahead: Side<A>, behind: Side<B>): Promise<[A, B]> {
  const ready = Promise.withResolvers<void>();
  const begin = Promise.withResolvers<void>();
  const first: Store = {
    ...store,
    transaction: (work) =>
      store.transaction(async (tx) => {
        await ready.promise;
        const result = await work(counted(tx, lead, begin.resolve));
        begin.resolve();
        return result;
      }),
  };
  const second: Store = {
    ...store,
    transaction: (work) =>
      store.transaction(async (tx) => {
        ready.resolve();
        await begin.promise;
        return work(tx);
      }),
  };
  // Whoever finds nothing to do opens no transaction: the other does not wait for it.
  return Promise.all([ahead(first).finally(begin.resolve), behind(second).finally(ready.resolve)]);
}

/** A transaction that says when its statement of this number goes out. */
function counted(tx: Transaction, lead: number, reached: () => void): Transaction {
  let sent = 0;
  return new Proxy(tx, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (name !== '$queryRaw' && name !== '$executeRaw') return member;
      return (...args: unknown[]) => {
        sent += 1;
        if (sent === lead) reached();
        return (member as (...all: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}
