import type { Command } from 'commander';
import { z } from 'zod';
import { STRATEGY_TYPES } from '../../shared/placement/strategy.ts';
import { usageFailure } from '../cli-failure.ts';
import { readAnswer } from '../read-answer.ts';
import { type PageWords, readPages } from '../read-pages.ts';
import type { Host, Session } from '../session.ts';
import { showList } from '../show-list.ts';
import type { Column } from '../table.ts';
import { onOneLine } from '../text-width.ts';
import { acting, paged, repeatable } from '../verb.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** Making the indexes of a strategy on a large fleet takes its time, ms. */
const ACTIVATE_MS = 10 * 60_000;

const strategy = z.object({
  id: z.string(),
  name: z.string(),
  type: z.string(),
  description: z.string().nullable(),
  config: z.record(z.string(), z.unknown()),
  priority: z.int(),
  active: z.boolean(),
});

/** `strategies`: where allocations land. */
export function strategiesVerb(program: Command, host: Host): void {
  const strategies = program.command('strategies').summary('where allocations land').description('Placement strategies.');
  acting<PageWords>(
    paged(strategies.command('list', { isDefault: true }).description('Lists the strategies, the highest priority first.')),
    host,
    async (session, words) => {
      const rows = await readPages(session, '/scheduler/strategies', {}, words);
      showList(session, rows, {
        shape: strategy,
        columns: () => columns(session),
        none: 'No strategy is stored; the usual one is in force.',
      });
    },
  );
  const activate = strategies
    .command('activate')
    .description('Puts a strategy in force, on every process within two seconds.')
    .argument('<strategy>', 'its id, its name, or a type');
  acting<{ idempotencyKey?: string }>(repeatable(activate), host, async (session, { idempotencyKey }, named = '') => {
    const found = await find(session, named);
    const path = `/scheduler/strategies/${found}/activate`;
    const { data } = await session.ask({ method: 'POST', path, idempotencyKey, timeoutMs: ACTIVATE_MS });
    session.answer(data, () => {
      const { name, type } = readAnswer(strategy, data);
      return `${session.screen.paint.green('✓')} ${onOneLine(name)} (${type}) is in force`;
    });
  });
}

function columns({ screen }: Session): Column<z.output<typeof strategy>>[] {
  return [
    { head: '', value: ({ active }) => (active ? '●' : ''), paint: screen.paint.green },
    { head: 'name', value: (row) => row.name, least: 8 },
    { head: 'type', value: (row) => row.type },
    { head: 'priority', value: (row) => String(row.priority), right: true },
    { head: 'strategy', value: (row) => row.id, extra: 1 },
    { head: 'config', value: (row) => (Object.keys(row.config).length === 0 ? '' : JSON.stringify(row.config)), extra: 2 },
    { head: 'description', value: (row) => row.description ?? '', extra: 3 },
  ];
}

/** The id of a strategy people name by its name, or by its type: then the one of the highest priority is meant. */
async function find(session: Session, named: string): Promise<string> {
  if (UUID.test(named)) return named;
  const { items } = await readPages(session, '/scheduler/strategies', {}, { limit: 0, all: true });
  const all = readAnswer(z.array(strategy), items);
  const found = all.find(({ name }) => name === named) ?? all.find(({ type }) => type === named);
  if (found !== undefined) return found.id;
  const names = all.map(({ name }) => onOneLine(name)).join(', ');
  const hint = names === '' ? 'None is stored.' : `There are: ${names}.`;
  throw usageFailure(`There is no strategy ${onOneLine(named)}.`, hint, `Types are ${STRATEGY_TYPES.join(', ')}.`);
}
