import type { Store, Transaction } from '../../shared/store/store.ts';

/** Thrown in place of the death of a process. */
export class Killed extends Error {}

/** Whether this is, or was caused by, such a death. */
export function isDeath(error: unknown): boolean {
  return error instanceof Killed || (error instanceof Error && isDeath(error.cause));
}

/** What raw statements are sent by, inside a transaction and outside. */
const RAW = new Set<PropertyKey>(['$queryRaw', '$executeRaw']);

/**
 * A store whose process dies inside one of its transactions: in front of the statement with this number, or after the last one
 * and before the commit. Postgres undoes that one, as it does when a connection breaks; whoever goes on all the same, say to
 * write down what went wrong, is dead.
 *
 * @param statement  from 1, counted over all transactions
 * @param commits    so many transactions are finished before
 */
export function dyingStore(store: Store, statement: number, commits = 0): Store {
  let begun = 0;
  let seen = 0;
  let dead = false;
  const die = (): never => {
    dead = true;
    throw new Killed();
  };
  const dying = <T extends object>(client: T, isDue: () => boolean): T =>
    new Proxy(client, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (!RAW.has(name)) return member;
        return (...args: unknown[]) => (dead || isDue() ? die() : (member as (...all: unknown[]) => unknown).apply(target, args));
      },
    });
  return {
    ...store,
    prisma: dying(store.prisma, () => false),
    transaction: (work) =>
      store.transaction(async (tx: Transaction) => {
        begun += 1;
        const last = begun > commits;
        const isDue = () => {
          seen += 1;
          return last && seen >= statement;
        };
        const result = await work(dying(tx, isDue));
        return last ? die() : result;
      }),
  };
}
