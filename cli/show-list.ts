import { z } from 'zod';
import { readAnswer } from './read-answer.ts';
import type { Rows } from './read-pages.ts';
import type { Session } from './session.ts';
import { type Column, table } from './table.ts';

/** How a list is shown. */
export interface ListLook<T> {
  readonly shape: z.ZodType<T>;
  /** @param now  the clock of the API */
  readonly columns: (now: Date) => readonly Column<T>[];
  /** What is said when there is none. */
  readonly none: string;
}

/** Answers with a list: the document is the page as the API gives it; people get a table, and how many there are in all. */
export function showList<T>(session: Session, { items, total, nextCursor, at }: Rows, look: ListLook<T>): void {
  session.answer({ items, total, nextCursor }, () => {
    const rows = readAnswer(z.array(look.shape), items);
    if (rows.length === 0) return look.none;
    const { screen } = session;
    const text = table(screen, look.columns(at), rows);
    return rows.length < total ? `${text}\n${screen.paint.dim(`${rows.length} of ${total}; --limit <n> or --all shows more`)}` : text;
  });
}
