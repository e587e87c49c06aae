/** How one thing stands. `warning` is worth a look and breaks nothing; `skipped` could not be looked at. */
export type FindingStatus = 'ok' | 'warning' | 'failed' | 'skipped';

/** One thing `doctor` looked at: how it stands, and how to mend it. */
export interface Finding {
  /** What was looked at, for example `redis`. */
  readonly name: string;
  readonly status: FindingStatus;
  /** One sentence. */
  readonly says: string;
  /** What to do, one step each. */
  readonly fix?: readonly string[];
}

/** A finding without anything to mend. */
export function fine(name: string, says: string): Finding {
  return { name, status: 'ok', says };
}

/** A finding nobody could make. */
export function skipped(name: string, says: string, ...fix: readonly string[]): Finding {
  return { name, status: 'skipped', says, ...(fix.length === 0 ? {} : { fix }) };
}
