import type { Random } from '../dev/cluster/random.ts';
import type { Stage } from './stage.ts';

/** Something that goes wrong under load, and how it is put right again. */
export interface ChaosFault {
  /** As on the command line. */
  readonly name: string;
  /** One line for a person. */
  readonly says: string;
  /** How long it stays, ms; 0 for what happens in a moment. */
  readonly lastsMs: number;
  strike(stage: Stage, random: Random): Promise<void> | void;
  /** What nobody but us would put right; left out where the product recovers by itself. */
  undo?(stage: Stage): Promise<void> | void;
}
