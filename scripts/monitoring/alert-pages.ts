import { stringify } from 'yaml';
import type { ReferencePage } from '../reference-pages.ts';
import { ALERTS, type Alert } from './alerts.ts';

const MADE = 'by `node scripts/generate-docs.ts` from `scripts/monitoring/alerts.ts`';

/** The rules for Prometheus, and a page for each alert. */
export function alertPages(): readonly ReferencePage[] {
  return [
    { path: 'dashboards/alerts/scheduler.rules.yml', text: rules() },
    { path: 'docs/runbooks/README.md', text: index() },
    ...ALERTS.map((alert) => ({ path: `docs/runbooks/${pageOf(alert)}`, text: runbook(alert) })),
  ];
}

/** `DeadLetters` → `dead-letters.md`. */
function pageOf({ name }: Alert): string {
  return `${name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()}.md`;
}

function rules(): string {
  const groups = [{ name: 'cloudphone-scheduler', rules: ALERTS.map(ruleOf) }];
  return `# Generated ${MADE.replaceAll('`', '')}.\n${stringify({ groups }, { lineWidth: 0 })}`;
}

function ruleOf(alert: Alert): object {
  return {
    alert: alert.name,
    expr: alert.when,
    for: alert.lasts,
    labels: { severity: alert.severity },
    annotations: { summary: alert.summary, runbook: `docs/runbooks/${pageOf(alert)}` },
  };
}

function index(): string {
  const rows = ALERTS.map((alert) => `| [${alert.name}](${pageOf(alert)}) | ${alert.severity} | ${alert.lasts} | ${alert.means} |`);
  return `# Runbooks

One page for each alert of [scheduler.rules.yml](../../dashboards/alerts/scheduler.rules.yml). \`page\` wakes somebody, \`ticket\` waits for the day.

| alert | severity | lasts | what it means |
|---|---|---|---|
${rows.join('\n')}

Made ${MADE}.
`;
}

function runbook(alert: Alert): string {
  const { name, severity, lasts, when, means, look, mend } = alert;
  const list = (lines: readonly string[]) => lines.map((line, position) => `${position + 1}. ${line}`).join('\n');
  return `# ${name}

${means}

**Severity** ${severity}, after ${lasts === '0m' ? 'the first look' : lasts}, when:

\`\`\`promql
${when}
\`\`\`

## Look

${list(look)}

## Mend

${list(mend)}

[All runbooks](README.md). Made ${MADE}.
`;
}
