import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire, stripTypeScriptTypes } from 'node:module';
import type { FastifyInstance } from 'fastify';

/** Where the scripts of the page are found. */
export const PAGE_PATH = '/page';

/** Libraries of the page, each a module that browsers read as it is published. */
const LIBRARIES: Readonly<Record<string, string>> = {
  preact: 'preact/dist/preact.mjs',
  'preact/hooks': 'preact/hooks/dist/hooks.mjs',
  '@preact/signals-core': '@preact/signals-core/dist/signals-core.module.js',
  '@preact/signals': '@preact/signals/dist/signals.module.js',
  htm: 'htm/dist/htm.module.js',
  'htm/preact': 'htm/preact/index.module.js',
  uplot: 'uplot/dist/uPlot.esm.js',
};
const STYLES: Readonly<Record<string, string>> = { 'lib/uplot.css': 'uplot/dist/uPlot.min.css' };

interface PageFile {
  readonly path: string;
  readonly type: string;
  readonly text: string;
}

/**
 * The page's own modules, as browsers read them: Node takes the types out, as it does of everything else here, and names of libraries
 * become addresses. There is nothing to build, and nothing that could be out of date.
 */
export function readPageFiles(): readonly PageFile[] {
  const folder = new URL('page/', import.meta.url);
  const names = readdirSync(folder).toSorted();
  const resolve = createRequire(import.meta.url).resolve;
  const published = (file: string) => readFileSync(packageFile(resolve, file), 'utf8');
  const own = names
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => script(name.replace(/\.ts$/, '.js'), stripTypeScriptTypes(readFileSync(new URL(name, folder), 'utf8'))));
  const styles = names.filter((name) => name.endsWith('.css')).map((name) => style(name, readFileSync(new URL(name, folder), 'utf8')));
  return [
    ...own,
    ...styles,
    ...Object.entries(LIBRARIES).map(([name, file]) => script(libraryFile(name), published(file))),
    ...Object.entries(STYLES).map(([name, file]) => style(name, published(file))),
  ];
}

/** Serves them. A browser asks each time whether one has changed, and gets it only then. */
export function registerPageFiles(app: FastifyInstance): void {
  for (const { path, type, text } of readPageFiles()) {
    const tag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 27)}"`;
    app.get(path, (request, reply) => {
      reply.header('cache-control', 'private, no-cache').header('etag', tag);
      return request.headers['if-none-match'] === tag ? reply.code(304).send() : reply.type(type).send(text);
    });
  }
}

const libraryFile = (name: string) => `lib/${name.replaceAll(/[@/]/g, '-').replace(/^-/, '')}.js`;
const script = (name: string, text: string): PageFile => ({
  path: `${PAGE_PATH}/${name}`,
  type: 'text/javascript',
  text: withAddresses(text),
});
const style = (name: string, text: string): PageFile => ({ path: `${PAGE_PATH}/${name}`, type: 'text/css', text });

/** `from 'preact'` becomes the address of the library, `./x.ts` that of the script it is served as. */
function withAddresses(text: string): string {
  return text
    .replaceAll(/(\bfrom\s*|\bimport\s*)(["'])([^"']+)\2/g, (whole, keyword: string, quote: string, name: string) => {
      if (Object.hasOwn(LIBRARIES, name)) return `${keyword}${quote}${PAGE_PATH}/${libraryFile(name)}${quote}`;
      return name.startsWith('./') ? `${keyword}${quote}${name.replace(/\.ts$/, '.js')}${quote}` : whole;
    })
    .replaceAll(/^\/\/# sourceMappingURL=.*$/gm, '');
}

/** A file inside a package, whatever its `exports` say: it is read, not imported. */
function packageFile(resolve: NodeJS.RequireResolve, file: string): string {
  const parts = file.split('/');
  const name = parts.slice(0, file.startsWith('@') ? 2 : 1).join('/');
  const rest = file.slice(name.length + 1);
  for (const folder of resolve.paths(name) ?? []) {
    try {
      readFileSync(`${folder}/${name}/package.json`);
      return `${folder}/${name}/${rest}`;
    } catch {
      // Not in this folder; the next one up is looked into.
    }
  }
  throw new Error(`${name} is not installed`);
}
