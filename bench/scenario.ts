import type { Spread } from './spread.ts';

/** What a scenario is run with. */
export interface BenchRun {
  /** Measurements of each side; they alternate. */
  readonly rounds: number;
  /** A small run that shows that everything works; its figures mean little. */
  readonly quick: boolean;
  readonly servers: BenchServers;
  /** One line of progress. */
  readonly say: (line: string) => void;
}

/** Where the servers are, and the secrets the processes share. */
export interface BenchServers {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly redisClusterNodes: readonly string[];
  readonly rabbitmqUrl: string;
  readonly userSecret: string;
  readonly serviceSecret: string;
}

/** One line of a scenario's table. */
export interface Figure {
  readonly measure: string;
  readonly unit: string;
  readonly ours: Spread;
  readonly reference?: { readonly name: string; readonly spread: Spread };
  /** Ours to the reference, round by round. */
  readonly ratio?: Spread;
  readonly goal?: { readonly text: string; readonly met: boolean };
}

/** A scenario prepares its own place, measures and cleans up. */
export interface Scenario {
  readonly name: string;
  readonly about: string;
  readonly run: (run: BenchRun) => Promise<Figure[]>;
}
