const WIDE =
  /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Emoji_Presentation}|[\u3000-\u303e\uff01-\uff60]/u;
const NO_WIDTH = /\p{M}|\p{Cf}/u;

/** Columns a plain text takes on a terminal: two for Chinese, Japanese, Korean and emoji. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text) width += NO_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}

/**
 * A text from elsewhere, safe to print: control characters could move the cursor, recolour the terminal or break a table, so
 * each becomes a space.
 */
export function onOneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return text.replaceAll(/ *[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+ */g, ' ').trim();
}
