/** What a process of the version before may stumble over, and how it is recognised in a statement. */
const NARROWINGS: readonly (readonly [what: string, pattern: RegExp])[] = [
  ['drops a table', /^DROP TABLE\b/i],
  ['drops a column', /\bDROP COLUMN\b/i],
  ['renames', /\bRENAME\b/i],
  ['changes a type', /\bALTER (COLUMN )?\S+ (SET DATA )?TYPE\b/i],
  ['forbids null', /\bSET NOT NULL\b/i],
  ['adds a column that old processes do not fill', /\bADD COLUMN (IF NOT EXISTS )?\S+ (?![^,]*\bDEFAULT\b)[^,]*\bNOT NULL\b/i],
  ['adds a constraint', /\bADD CONSTRAINT\b/i],
  ['allows each value once', /^CREATE UNIQUE INDEX\b/i],
  ['removes rows', /^(DELETE|TRUNCATE)\b/i],
];

const TABLE =
  /^(?:ALTER TABLE|DROP TABLE|DELETE FROM|TRUNCATE)\s+(?:IF EXISTS\s+|ONLY\s+)*"?(\w+)|^CREATE UNIQUE INDEX\s.*?\sON\s+"?(\w+)/is;

/**
 * What a migration takes from processes that know nothing of it: everything that is not an addition to tables that were there.
 *
 * @returns a phrase each, such as `allocations: adds a constraint`
 */
export function narrowingsOf(sql: string): string[] {
  const statements = sql
    .replaceAll(/--.*$/gm, '')
    .replaceAll(/\$(\w*)\$.*?\$\1\$/gs, '')
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
  const own = new Set(statements.flatMap((statement) => /^CREATE TABLE\s+(?:IF NOT EXISTS\s+)?"?(\w+)/i.exec(statement)?.[1] ?? []));
  return statements.flatMap((statement) => {
    const found = TABLE.exec(statement);
    const table = found?.[1] ?? found?.[2] ?? '';
    if (own.has(table)) return [];
    return NARROWINGS.flatMap(([what, pattern]) => (pattern.test(statement) ? [`${table}: ${what}`] : []));
  });
}
