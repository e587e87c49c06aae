import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { describeVariables, loadConfig } from '../shared/config.ts';
import { ERRORS } from '../shared/errors.ts';
import { PUBLISHED } from '../shared/events.ts';
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

  test('say of every published key when it is published and what its body is, and of no other', () => {
    const files = pages.flatMap(({ path }) => (path.startsWith('docs/events/') ? [path.slice('docs/events/'.length)] : []));
    expect(readdirSync('docs/events').toSorted()).toEqual(files.toSorted());
    for (const [topic, { shape }] of PUBLISHED) {
      const schema = JSON.parse(textOf(`docs/events/${topic.replaceAll(/[<>]/g, '')}.json`));
      expect(schema).toMatchObject({ title: topic, type: 'object', description: expect.any(String) });
      expect(Object.keys(schema.properties)).toEqual(Object.keys(shape));
    }
  });

  test('give defaults that are accepted when they are taken literally', () => {
    const lines = textOf('.env.example').matchAll(/^#([A-Z_]+)=(.+)$/gm);
    const taken = Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
    const secrets = { JWT_SECRET: 'x'.repeat(32), DASHBOARD_PASSWORD: 'x'.repeat(12) };
    expect(loadConfig({ ...taken, ...secrets })).toMatchObject({ ok: true, warnings: [] });
  });
});
