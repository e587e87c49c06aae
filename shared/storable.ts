/** Whether Postgres can keep a text: JSON may say NUL and lone halves of surrogate pairs, which no `text` or `jsonb` takes. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}
