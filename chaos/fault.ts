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
  /** It needs work to meet: it strikes as soon as the load begins. */
  readonly early?: true;
  /** What is promised within seconds is promised in the midst of it too: nobody who grants or ends is touched. */
  readonly sparesTime?: true;
  strike(stage: Stage, random: Random): Promise<void> | void;
  /**
   * A count that rises when it strikes: a fault that met nothing has shown nothing. Left out where `strike` throws when it
   * does not.
   */
  evidence?(stage: Stage): Promise<number> | number;
  /** What nobody but us would put right; left out where the product recovers by itself. */
  undo?(stage: Stage): Promise<void> | void;
}
