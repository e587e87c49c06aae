import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { describeVariables, loadConfig } from '../shared/config.ts';
import { ERRORS } from '../shared/errors.ts';
import { referencePages } from './reference-pages.ts';

const pages = referencePages();
const textOf = (path: string) => pages.find((page) => page.path === path)?.text ?? '';

describe('the reference pages', () => {
  test.each(pages)('$path says what the code says; else: node scripts/generate-docs.ts', ({ path, text }) => {
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  test('name every variable and every code', () => {
    for (const { name } of describeVariables()) {
      expect(textOf('docs/configuration.md')).toContain(`| \`${name}\` |`);
      expect(textOf('.env.example')).toContain(`\n#${name}=`);
    }
    for (const [code, { status }] of Object.entries(ERRORS)) expect(textOf('docs/errors.md')).toContain(`| \`${code}\` | ${status} |`);
  });

  test('give defaults that are accepted when they are taken literally', () => {
    const lines = textOf('.env.example').matchAll(/^#([A-Z_]+)=(.+)$/gm);
    const taken = Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
    const secrets = { JWT_SECRET: 'x'.repeat(32), DASHBOARD_PASSWORD: 'x'.repeat(12) };
    expect(loadConfig({ ...taken, ...secrets })).toMatchObject({ ok: true, warnings: [] });
  });
});
