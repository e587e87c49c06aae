import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { measureTrace } from '../../dev/trace/measure-trace.ts';
import { readTrace, readTraceHeader } from '../../dev/trace/read-trace.ts';
import type { TraceEntry } from '../../dev/trace/recorded-request.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trace-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(name: string, content: string | Buffer, limit?: number): Promise<TraceEntry[]> {
  const file = join(folder, name);
  await writeFile(file, content);
  const entries: TraceEntry[] = [];
  for await (const entry of readTrace(file, limit)) entries.push(entry);
  return entries;
}

const HEADER = 'submitted_at,user_id,tenant_id,tier,duration_minutes,min_cpu,min_memory_mb';

describe('reading recorded requests from CSV', () => {
  test('a line becomes a request, empty fields take their defaults', async () => {
    const entries = await read('a.csv', `${HEADER}\n2026-01-02T03:04:05Z,ann,acme,pro,30,4,8192\n2026-01-02T03:04:06.500Z,bob,,,5\n`);
    expect(entries).toEqual([
      {
        kind: 'request',
        request: {
          line: 2,
          submittedAt: 1767323045,
          userId: 'ann',
          tenantId: 'acme',
          tier: 'premium',
          durationMinutes: 30,
          runSeconds: 1800,
          minCpu: 4,
          minMemoryMB: 8192,
        },
      },
      {
        kind: 'request',
        request: {
          line: 3,
          submittedAt: 1767323046.5,
          userId: 'bob',
          tenantId: null,
          tier: 'standard',
          durationMinutes: 5,
          runSeconds: 300,
          minCpu: undefined,
          minMemoryMB: undefined,
        },
      },
    ]);
  });

  test('columns may stand in any order, a byte order mark, CRLF, comments and quoted commas are understood', async () => {
    const [entry] = await read('b.csv', '\uFEFFuser_id,duration_minutes,submitted_at\r\n# noon\r\n"ann, ""the boss""",7,12\r\n');
    expect(entry).toMatchObject({ request: { line: 3, userId: 'ann, "the boss"', durationMinutes: 7, submittedAt: 12 } });
  });

  test('the header may be missing and the file gzipped under any name', async () => {
    const entries = await read('c.bin', gzipSync('5,ann,acme,vip,1440\n6,bob,,free,1\n'));
    expect(entries).toMatchObject([{ request: { line: 1, tier: 'vip', durationMinutes: 1440 } }, { request: { line: 2, tier: 'free' } }]);
  });

  test.each([
    ['soon,ann,,,5', 'submitted_at is "soon"; allowed: an ISO 8601 time or seconds'],
    ['1,,,,5', 'user_id is empty; allowed: 1..128 characters'],
    ['1,ann,,gold,5', 'tier is "gold"; allowed: free, standard, vip, premium, enterprise, basic, pro'],
    ['1,ann,,,1441', 'duration_minutes is "1441"; allowed: 1..1440'],
    ['1,ann,,,-5', 'duration_minutes is "-5"; allowed: 1..1440'],
    ['1,ann,,,5,1.5', 'min_cpu is "1.5"; allowed: whole cores, or empty'],
    ['1,ann,,,5,1,lots', 'min_memory_mb is "lots"; allowed: whole MB, or empty'],
    ['1,ann,,,5,1,1,1', '8 fields; allowed: at most 7 (submitted_at,user_id,tenant_id,tier,duration_minutes,min_cpu,min_memory_mb)'],
  ])('a wrong line (%s) is named with what would be allowed, and the next one is read', async (line, problem) => {
    const entries = await read('d.csv', `${HEADER}\n${line}\n2,bob,,,5\n`);
    expect(entries).toMatchObject([{ kind: 'problem', line: 2, problem }, { kind: 'request' }]);
  });

  test('a header with a misspelt or missing column is refused as a whole', async () => {
    expect(await read('e.csv', 'submitted_at,user,duration_minutes\n1,ann,5\n')).toEqual([
      { kind: 'problem', line: 1, problem: `unknown column user; allowed: ${HEADER.replaceAll(',', ', ')}` },
    ]);
    expect(await read('f.csv', 'submitted_at,user_id\n1,ann\n')).toEqual([
      { kind: 'problem', line: 1, problem: 'column duration_minutes is missing' },
    ]);
  });

  test('a damaged archive is an error, not an early end', async () => {
    const packed = gzipSync('1,ann,,,5\n'.repeat(1_000));
    await expect(read('g.csv.gz', packed.subarray(0, packed.length - 20))).rejects.toThrow('unexpected end of file');
  });
});

describe('reading the Standard Workload Format', () => {
  const job = (fields: Record<number, number>) => Array.from({ length: 18 }, (_, index) => fields[index + 1] ?? -1).join(' ');

  test('a job becomes a device held for its run time, rounded up to minutes, a day at most', async () => {
    const entries = await read(
      'a.swf',
      `; Version: 2.2\n  ${job({ 1: 1, 2: 10, 4: 61, 5: 2, 12: 7, 13: 3 })}\n${job({ 1: 2, 2: 11, 4: 0, 8: 4, 10: 524288, 12: 8 })}\n${job({ 1: 3, 2: 12, 4: 100_000, 12: 9, 13: 3 })}`,
    );
    expect(entries).toMatchObject([
      {
        request: {
          line: 2,
          submittedAt: 10,
          userId: 'user-7',
          tenantId: 'group-3',
          durationMinutes: 2,
          runSeconds: 61,
          minCpu: 2,
          minMemoryMB: undefined,
        },
      },
      { request: { line: 3, userId: 'user-8', tenantId: null, durationMinutes: 1, runSeconds: 0, minCpu: 4, minMemoryMB: 2048 } },
      { request: { line: 4, durationMinutes: 1440, runSeconds: 86_400, minCpu: undefined } },
    ]);
  });

  test.each([
    ['1 2 3', '3 fields; allowed: 18 numbers parted by blanks'],
    [job({ 2: -1, 4: 1, 12: 1 }), 'field 2 (submit time) is "-1"; allowed: seconds, 0 or more'],
    [job({ 2: 1, 12: 1 }), 'field 4 (run time) is "-1"; allowed: seconds, 0 or more (-1 is not known)'],
    [job({ 2: 1, 4: 1 }), 'field 12 (user) is "-1"; allowed: a number, 0 or more (-1 is not known)'],
  ])('a wrong line (%s) is named with what would be allowed', async (line, problem) => {
    expect(await read('b.swf', line)).toEqual([{ kind: 'problem', line: 1, problem }]);
  });

  test('says whom to thank, as its header does', async () => {
    await read('thanks.swf', `; Version: 2.2\n;\n; Acknowledge: Hui Li\n; Acknowledge: nobody\n${job({ 2: 1, 4: 1, 12: 1 })}\n; Late: x`);
    expect(Object.fromEntries(await readTraceHeader(join(folder, 'thanks.swf')))).toEqual({ Version: '2.2', Acknowledge: 'Hui Li' });
    await read('none.swf', '; Note: nothing follows');
    expect((await readTraceHeader(join(folder, 'none.swf'))).get('Note')).toBe('nothing follows');
    await read('thanks.csv', '; Acknowledge: Hui Li\n');
    expect((await readTraceHeader(join(folder, 'thanks.csv'))).size).toBe(0);
  });

  test('a limit ends the reading after so many requests, problems not counted; the measure tells the span', async () => {
    const lines = [job({ 2: 50, 4: 1, 12: 1, 13: 1 }), 'nonsense', job({ 2: 20, 4: 1, 12: 2 }), job({ 2: 99, 4: 1, 12: 3 })].join('\n');
    const file = join(folder, 'c.swf.gz');
    expect(await read('c.swf.gz', gzipSync(lines), 2)).toHaveLength(3);
    expect(await measureTrace(file, 2)).toMatchObject({
      requests: 2,
      startsAt: 20,
      spanSeconds: 30,
      problemCount: 1,
      problems: [{ line: 2 }],
    });
    expect(await measureTrace(file, 0)).toMatchObject({ requests: 0, startsAt: 0, spanSeconds: 0 });
  });
});
