/** One request a stand-in has seen. */
export interface SeenCall {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: unknown;
  /** `performance.now()` when it came, ms. */
  readonly at: number;
}

/** What a stand-in was asked, for tests to look at and to wait for. */
export interface CallLog {
  add(call: SeenCall): void;
  /** Requests whose path contains the text. */
  to(path?: string): readonly SeenCall[];
  count(path?: string): number;
  /** Resolves when at least `count` such requests have come. */
  reached(count: number, path?: string): Promise<void>;
  clear(): void;
}

/** Requests remembered in full; older ones are only counted. */
const REMEMBERED = 20_000;

export function createCallLog(): CallLog {
  let calls: SeenCall[] = [];
  let waiting: { count: number; path: string; resolve: () => void }[] = [];
  const to = (path = '') => calls.filter((call) => call.path.includes(path));
  return {
    add(call) {
      calls.push(call);
      if (calls.length > 2 * REMEMBERED) calls = calls.slice(-REMEMBERED);
      const reached = waiting.filter(({ count, path }) => to(path).length >= count);
      waiting = waiting.filter((row) => !reached.includes(row));
      for (const { resolve } of reached) resolve();
    },
    to,
    count: (path) => to(path).length,
    reached(count, path = '') {
      if (to(path).length >= count) return Promise.resolve();
      return new Promise((resolve) => waiting.push({ count, path, resolve }));
    },
    clear() {
      calls = [];
    },
  };
}
