/** A schema of zod, or anything that checks like one. */
export interface Checker<T> {
  safeParse(data: unknown): Checked<T>;
}

type Checked<T> = { readonly success: true; readonly data: T } | { readonly success: false; readonly error: Error };

interface UnknownKeys {
  readonly path: readonly PropertyKey[];
  readonly keys: readonly string[];
}

/**
 * Reads what another version of ours may have written: fields nobody here knows are left out, at any depth. What callers say
 * is read strictly at the doors, where a field that is not known is most likely misspelt; in a job or a row it is newer.
 *
 * @returns as the schema does, for what is left
 */
export function readTolerantly<T>(schema: Checker<T>, data: unknown): Checked<T> {
  const read = schema.safeParse(data);
  if (read.success) return read;
  const unknown = unknownKeysOf(read.error);
  if (unknown.length === 0) return read;
  const known: unknown = structuredClone(data);
  for (const { path, keys } of unknown) leaveOut(known, path, keys);
  return readTolerantly(schema, known);
}

/** The same for who needs what was written. @throws the schema's error if it is not valid */
export function parseTolerantly<T>(schema: Checker<T>, data: unknown): T {
  const read = readTolerantly(schema, data);
  if (!read.success) throw read.error;
  return read.data;
}

function unknownKeysOf(error: Error): UnknownKeys[] {
  const issues: unknown = Reflect.get(error, 'issues');
  return Array.isArray(issues) ? issues.filter(({ code }) => code === 'unrecognized_keys') : [];
}

function leaveOut(data: unknown, path: readonly PropertyKey[], keys: readonly string[]): void {
  const place = path.reduce<unknown>((part, key) => (isObject(part) ? Reflect.get(part, key) : undefined), data);
  if (isObject(place)) for (const key of keys) Reflect.deleteProperty(place, key);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
