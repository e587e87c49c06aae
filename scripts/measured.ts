import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const BEGIN = '<!-- measured:begin -->';
const END = '<!-- measured:end -->';

const spread = z.object({ n: z.number(), median: z.number(), min: z.number(), max: z.number() });
const figure = z.object({
  measure: z.string(),
  unit: z.string(),
  ours: spread,
  reference: z.object({ name: z.string(), spread }).optional(),
  ratio: spread.optional(),
  goal: z.object({ text: z.string(), met: z.boolean() }).optional(),
});
const scenario = z.object({ at: z.string(), rounds: z.number(), processor: z.string(), processors: z.number(), figures: z.array(figure) });
const results = z.record(z.string(), scenario);

type Figure = z.infer<typeof figure>;
type Scenario = z.infer<typeof scenario>;

/** What sizes a cluster: how the guide calls it, the scenario, and how the name of the measure begins. */
const CAPACITY = [
  ['decisions of one allocation worker, nothing beside it', 'throughput', 'decided and durable'],
  ['the same, beside every other process of a cluster', 'scale-out', 'worker processes: 1'],
  ['two of them on that machine', 'scale-out', 'worker processes: 2'],
  ['lists of available devices of one API', 'available', 'reads'],
  ['Redis for a waiting job', 'memory', 'Redis a waiting job'],
  ['a worker with a backlog', 'memory', 'worker, '],
  ['an API under load', 'memory', 'API, '],
] as const;

/**
 * The README with the newest figures of every scenario between its two marks.
 *
 * @param folder  where `npm run bench` keeps its results, a file a day
 * @throws ZodError when a file there is none of its
 */
export function withMeasured(readme: string, folder: string): string {
  return between(readme, [...newest(folder)].map(sectionOf).join(''));
}

/** The guide to scaling, with those of the newest figures it counts with between its two marks; else as `withMeasured`. */
export function withCapacity(guide: string, folder: string): string {
  const scenarios = newest(folder);
  const rows = CAPACITY.map(([title, name, measure]) => {
    const run = scenarios.get(name);
    const found = run?.figures.find((each) => each.measure.startsWith(measure));
    if (run === undefined || found === undefined) throw new Error(`no result of ${name} is called ${measure}`);
    return `| ${title} | ${inWords(found.ours)} ${found.unit} | ${name}, ${run.processors} × ${run.processor}, ${run.at.slice(0, 10)} |`;
  });
  return between(guide, `\n| what | median, range in brackets | measured |\n|---|---|---|\n${rows.join('\n')}\n\n`);
}

function between(page: string, text: string): string {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`the page has lost ${BEGIN} or ${END}`);
  return `${before}${BEGIN}\n${text}${END}${after}`;
}

function newest(folder: string): ReadonlyMap<string, Scenario> {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  const days = files.toSorted().map((name) => results.parse(JSON.parse(readFileSync(join(folder, name), 'utf8'))));
  return new Map(days.flatMap((day) => Object.entries(day)));
}

function sectionOf([name, { at, rounds, processor, processors, figures }]: readonly [string, Scenario]): string {
  return `
**${name}** (${at.slice(0, 10)}, ${processors} × ${processor}, median of ${rounds}, range in brackets)

| measure | ours | reference | ratio | goal |
|---|---|---|---|---|
${figures.map(rowOf).join('\n')}
`;
}

function rowOf({ measure, unit, ours, reference, ratio, goal }: Figure): string {
  const cells = [
    measure,
    `${inWords(ours)} ${unit}`.trim(),
    reference === undefined ? '' : `${reference.name}: ${brief(reference.spread.median)} ${unit}`.trim(),
    ratio === undefined ? '' : `${inWords(ratio)} ×`,
    goal === undefined ? '' : `${goal.text} – ${goal.met ? 'met' : '**missed**'}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

function inWords({ median, min, max }: z.infer<typeof spread>): string {
  return `${brief(median)} (${brief(min)}–${brief(max)})`;
}

/** Three digits are all a benchmark knows. */
function brief(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));
}
