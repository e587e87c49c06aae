/** As much of an OpenAPI document as the page shows. */
export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly responses?: Readonly<Record<string, unknown>>;
}

export const API_PAGE = 'docs/reference/api.md';

/** Every route by its noun: what it does, and the statuses it answers. The whole, with bodies, is what a running API answers at `/docs`. */
export function apiPage({ paths }: ApiDocument): string {
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })),
  );
  const tags = [...new Set(routes.flatMap(({ tags = [] }) => tags.slice(0, 1)))];
  const sections = tags.map((tag) => {
    const rows = routes.filter(({ tags = [] }) => tags[0] === tag).map(rowOf);
    return `## ${tag}\n\n| route | does | answers |\n|---|---|---|\n${rows.join('\n')}\n`;
  });
  return `# API

Every route of the HTTP API. Bodies, fields and limits are in the OpenAPI 3.1 document that a running API answers at \`/docs\` (to read and try) and
\`/docs/json\`; this page is written from it by \`node scripts/generate-api-page.ts\`. Codes of refusals are in [errors](../errors.md).

${sections.join('\n')}`;
}

function rowOf({ method, path, summary = '', description = '', responses = {} }: Operation & { method: string; path: string }): string {
  const says = [summary.replace(/\.$/, ''), description].filter((text) => text !== '').join('. ');
  return `| \`${method} ${path}\` | ${says.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ')} | ${Object.keys(responses).join(', ')} |`;
}
