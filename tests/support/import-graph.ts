import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** One source file and what it imports, `import type` included. */
export interface SourceFile {
  /** Relative to the project, for example `shared/store/store.ts`. */
  readonly path: string;
  /** Files of the project, as paths like `path`. */
  readonly files: readonly string[];
  /** The files among them that are loaded for it: not only for a type. */
  readonly loaded: readonly string[];
  /** Packages, by the name they are installed under. */
  readonly packages: readonly string[];
  /** The packages among them that are loaded for it. */
  readonly loadedPackages: readonly string[];
  readonly text: string;
}

const ONLY_TYPES = /(?:^|\n)\s*(?:import|export)\s+type\s[^;'"]*?from\s+['"]([^'"]+)['"]/g;
const IMPORTS =
  /(?:^|\n)\s*(?:import|export)\s[^;'"]*?from\s+['"]([^'"]+)['"]|(?:^|\n)\s*import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g;

/** Reads the sources of some folders, tests left out. */
export function readSources(folders: readonly string[]): SourceFile[] {
  return folders
    .flatMap((folder) => globSync(`${folder}/**/*.ts`))
    .filter((path) => !path.endsWith('.test.ts') && !path.endsWith('.d.ts'))
    .toSorted()
    .map((path) => parse(path, readFileSync(path, 'utf8')));
}

/** What a text of a file imports. */
export function parse(path: string, text: string): SourceFile {
  const types = new Set([...text.matchAll(ONLY_TYPES)].map(([, name]) => name));
  const toPath = (name: string) => normalize(join(dirname(path), name));
  const names = [...text.matchAll(IMPORTS)].map(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? '');
  const isOwn = (name: string) => name.startsWith('.');
  const isPackage = (name: string) => !isOwn(name) && !name.startsWith('node:');
  return {
    path,
    files: names.filter(isOwn).map(toPath),
    loaded: names.filter((name) => isOwn(name) && !types.has(name)).map(toPath),
    packages: names.filter(isPackage).map(packageOf),
    loadedPackages: names.filter((name) => isPackage(name) && !types.has(name)).map(packageOf),
    text,
  };
}

function packageOf(name: string): string {
  return name.split('/', name.startsWith('@') ? 2 : 1).join('/');
}

/** A ring of files that wait for each other while they load, if there is one. */
export function findCycle(sources: readonly SourceFile[]): readonly string[] | undefined {
  const filesOf = new Map(sources.map(({ path, loaded }) => [path, loaded]));
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]): readonly string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const next of filesOf.get(path) ?? []) {
      const ring = walk(next, [...trail, path]);
      if (ring !== undefined) return ring;
    }
    done.add(path);
    return undefined;
  };
  for (const { path } of sources) {
    const ring = walk(path, []);
    if (ring !== undefined) return ring;
  }
  return undefined;
}

/** Every package that is loaded for a file, directly or through what it loads. */
export function packagesBehind(sources: readonly SourceFile[], start: string): Set<string> {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const seen = new Set<string>();
  const packages = new Set<string>();
  const visit = (path: string) => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const name of byPath.get(path)?.loadedPackages ?? []) packages.add(name);
    for (const next of byPath.get(path)?.loaded ?? []) visit(next);
  };
  visit(start);
  return packages;
}
