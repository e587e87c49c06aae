import { globSync, readFileSync } from 'node:fs';

/** A page people read. */
export interface Document {
  /** Relative to the project. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly Block[];
}

/** A fenced example. */
export interface Block {
  /** The word after the fence: `ts`, `sh`, `json` … */
  readonly language: string;
  /** Marked to be executed, not only checked (```ts run). */
  readonly run: boolean;
  readonly text: string;
}

const PAGES = ['*.md', 'docs/**/*.md', 'shared/**/*.md'];
const FENCED = /^```(\w*)( run)?\n(.*?)^```$/gms;

/** Every page of the project. */
export function readDocuments(): Document[] {
  return globSync(PAGES)
    .toSorted()
    .map((path) => {
      const text = readFileSync(path, 'utf8');
      return { path, text, blocks: blocksOf(text) };
    });
}

/** The fenced examples of a page, in order. */
export function blocksOf(text: string): Block[] {
  return [...text.matchAll(FENCED)].map(([, language = '', run, body = '']) => ({ language, run: run !== undefined, text: body }));
}

/** Targets of the links of a page that lead to files of the project. */
export function fileLinksOf(text: string): string[] {
  const prose = text.replaceAll(FENCED, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target).filter((target) => !/^\w+:/.test(target));
}

/** The anchors GitHub makes of the headings of a page. */
export function anchorsOf(text: string): string[] {
  const headings = [...text.replaceAll(FENCED, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} -]/gu, '')
      .replaceAll(' ', '-'),
  );
}
