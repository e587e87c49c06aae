import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeVariables } from '../shared/config.ts';
import { ERRORS } from '../shared/errors.ts';
import { cliPage } from './cli-page.ts';
import { eventPages } from './event-pages.ts';
import { manifestPages } from './kubernetes/manifests.ts';
import { withCapacity, withMeasured } from './measured.ts';
import { metricsPage } from './metrics-page.ts';
import { alertPages } from './monitoring/alert-pages.ts';
import { grafanaPage } from './monitoring/grafana-page.ts';
import { ROOT } from './services/place.ts';

/** A file that is written from the tables in the code. */
export interface ReferencePage {
  readonly path: string;
  readonly text: string;
}

const GENERATED = 'by `node scripts/generate-docs.ts` from the table in';

/** What each retry advice means to a caller. */
const ADVICE = {
  never: 'Asking again gives the same answer.',
  later: 'Asking again later can succeed; a `Retry-After` header says when.',
  'after-change': 'Asking again can succeed once the caller has changed something.',
} as const;

/** Every generated page; a test holds the files equal to them. */
export function referencePages(): readonly ReferencePage[] {
  return [
    { path: '.env.example', text: envExample() },
    { path: 'docs/configuration.md', text: configurationPage() },
    { path: 'docs/errors.md', text: errorsPage() },
    { path: 'docs/reference/cli.md', text: cliPage() },
    metricsPage(),
    ...eventPages(),
    ...manifestPages(),
    ...alertPages(),
    grafanaPage(),
    ...[
      { path: 'README.md', fill: withMeasured },
      { path: 'docs/guides/scale.md', fill: withCapacity },
    ].map(({ path, fill }) => ({ path, text: fill(readFileSync(join(ROOT, path), 'utf8'), join(ROOT, 'bench', 'results')) })),
  ];
}

function envExample(): string {
  const head = `# Every variable with its default. Copy to .env and take the # off what you want to change; the environment wins over .env.
# Generated ${GENERATED.replaceAll('`', '')} shared/config.ts.
`;
  const rows = describeVariables().map(({ name, description, fallback }) => `\n# ${description}\n#${name}=${fallback ?? ''}\n`);
  return head + rows.join('');
}

function configurationPage(): string {
  const rows = describeVariables().map(({ name, description, fallback }) => {
    const shown = fallback === undefined ? '–' : fallback === '' ? 'empty' : `\`${fallback}\``;
    return `| \`${name}\` | ${shown} | ${cell(description)} |`;
  });
  return `# Configuration

The environment is read once at start, over \`.env\`, over \`.services/env\` (written by \`npm run services -- up\`, never used in
production). Every problem is listed at once, and the process ends with 1. Flags are said as true/false, yes/no, on/off or 1/0;
lists are comma-separated. Secrets (\`JWT_SECRET\`, \`SERVICE_TOKEN_SECRET\`, \`DASHBOARD_PASSWORD\`) must be set in production;
elsewhere they are made up once and kept in \`.services/env\`.

| variable | default | what it says |
|---|---|---|
${rows.join('\n')}

Generated ${GENERATED} \`shared/config.ts\`.
`;
}

function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, retry, message }]) => `| \`${code}\` | ${status} | ${retry} | ${cell(message)} |`,
  );
  const advice = Object.entries(ADVICE).map(([name, meaning]) => `* **${name}** – ${meaning}`);
  return `# Errors

What the product may answer besides success, over HTTP, through the typed client and in the events. \`code\` never changes its
meaning; sentences may.

| code | HTTP | ask again | sentence |
|---|---|---|---|
${rows.join('\n')}

${advice.join('\n')}

Generated ${GENERATED} \`shared/errors.ts\`.
`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
