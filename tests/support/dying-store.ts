import type { Store, Transaction } from '../../shared/store/store.ts';

/** Thrown in place of the death of a process. */
export class Killed extends Error {}

/** Whether this is, or was caused by, such a death. */
export function isDeath(error: unknown): boolean {
  return error instanceof Killed || (error instanceof Error && isDeath(error.cause));
}

/**
 * A store whose process dies inside its next transaction: in front of the statement with this number, or after the last one
 * and before the commit. Postgres undoes the rest, as it does when a connection breaks.
 *
 * @param statement  from 1
 */
export function dyingStore(store: Store, statement: number): Store {
  let seen = 0;
  const dying = <T extends object>(tx: T): T =>
    new Proxy(tx, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (name !== '$queryRaw' && name !== '$executeRaw') return member;
        return (...args: unknown[]) => {
          seen += 1;
          if (seen === statement) throw new Killed();
          return (member as (...all: unknown[]) => unknown).apply(target, args);
        };
      },
    });
  return {
    ...store,
    transaction: (work) =>
      store.transaction(async (tx: Transaction) => {
        await work(dying(tx));
        throw new Killed();
      }),
  };
}
