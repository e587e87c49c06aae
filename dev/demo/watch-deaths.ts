import type { ProcessEvent } from '../cluster/supervise.ts';

/** Tells of deaths once they are meant to happen, and remembers how long the killed worker was missed. */
export interface DeathWatch {
  /** From now on a death is worth telling, to `tell`. */
  begin(tell: (text: string) => void): void;
  hear(event: ProcessEvent): void;
  /** How long the killed worker was missed, ms; undefined when it has not come back within the time given. */
  replaced(withinMs: number): Promise<number | undefined>;
}

/** @param killed  name of the process that will be killed */
export function watchDeaths(killed: string): DeathWatch {
  const back = Promise.withResolvers<number>();
  let tell: ((text: string) => void) | undefined;
  return {
    begin: (to) => {
      tell = to;
    },
    hear: (event) => {
      if (tell === undefined) return;
      if (event.kind === 'died') tell(`${event.name} died (${event.how})`);
      else if (event.downMs !== undefined) {
        tell(`${event.name} is replaced after ${Math.round(event.downMs)} ms`);
        if (event.name === killed) back.resolve(event.downMs);
      }
    },
    replaced: (withinMs) =>
      Promise.race([back.promise, new Promise<undefined>((resolve) => void setTimeout(() => resolve(undefined), withinMs).unref())]),
  };
}
