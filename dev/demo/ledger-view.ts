import pg from 'pg';
import { COUNT_ERRANDS, type ErrandFigures } from './errands/errand-view.ts';

/** What is still to be done, by the rows. */
export interface Backlog {
  readonly undecided: number;
  readonly events: number;
  readonly usageReports: number;
  readonly bills: number;
  readonly notices: number;
}

/** What the store holds in the end. */
export interface StoreFigures {
  readonly granted: number;
  readonly live: number;
  readonly liveCores: number;
  readonly extensions: number;
  readonly ended: Readonly<Record<string, number>>;
  readonly ledgerRows: number;
  readonly ledgerSeconds: number;
  readonly usageReports: number;
  readonly notices: number;
  readonly dead: number;
  readonly allocationIds: ReadonlySet<string>;
  readonly eventIds: ReadonlySet<string>;
  readonly errands: ErrandFigures;
}

/** Reads the run's own database, past every cache and process. */
export interface LedgerView {
  backlog(): Promise<Backlog>;
  figures(): Promise<StoreFigures>;
  close(): Promise<void>;
}

export async function openLedgerView(databaseUrl: string): Promise<LedgerView> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'demo' });
  await client.connect();
  const rows = async <Row extends pg.QueryResultRow>(sql: string) => (await client.query<Row>(sql)).rows;
  const one = async <Row extends pg.QueryResultRow>(sql: string): Promise<Row> => {
    const [row] = await rows<Row>(sql);
    if (row === undefined) throw new Error('a count without a row');
    return row;
  };
  return {
    backlog: () =>
      one<{ undecided: number; events: number; usageReports: number; bills: number; notices: number }>(`SELECT
        (SELECT count(*)::int FROM requests WHERE status IN ('pending', 'waiting')) AS undecided,
        (SELECT count(*)::int FROM outbox WHERE status = 'pending' AND channel = 'event') AS events,
        (SELECT count(*)::int FROM outbox WHERE status = 'pending' AND channel = 'usage') AS "usageReports",
        (SELECT count(*)::int FROM ledger WHERE status = 'owed') AS bills,
        (SELECT count(*)::int FROM outbox WHERE status = 'pending' AND channel = 'notice') AS notices`),
    figures: async () => {
      const counts = await one<Omit<StoreFigures, 'ended' | 'allocationIds' | 'eventIds' | 'errands'>>(COUNTS);
      const ended = await rows<{ reason: string; count: number }>(
        `SELECT end_reason AS reason, count(*)::int AS count FROM allocations WHERE status <> 'allocated' GROUP BY 1 ORDER BY 2 DESC`,
      );
      const allocations = await rows<{ id: string }>('SELECT id FROM allocations');
      const events = await rows<{ id: string }>(`SELECT event_id AS id FROM outbox WHERE channel = 'event' AND status = 'delivered'`);
      return {
        ...counts,
        ended: Object.fromEntries(ended.map(({ reason, count }) => [reason, count])),
        allocationIds: new Set(allocations.map(({ id }) => id)),
        eventIds: new Set(events.map(({ id }) => id)),
        errands: await one<ErrandFigures>(COUNT_ERRANDS),
      };
    },
    close: () => client.end(),
  };
}

const COUNTS = `SELECT
  (SELECT count(*)::int FROM requests WHERE status = 'granted') AS granted,
  (SELECT count(*)::int FROM allocations WHERE status = 'allocated') AS live,
  (SELECT coalesce(sum(cpu_cores), 0)::int FROM allocations WHERE status = 'allocated') AS "liveCores",
  (SELECT coalesce(sum(extend_count), 0)::int FROM allocations) AS extensions,
  (SELECT count(*)::int FROM ledger WHERE status = 'settled') AS "ledgerRows",
  (SELECT coalesce(sum(duration_seconds), 0)::int FROM ledger) AS "ledgerSeconds",
  (SELECT count(*)::int FROM outbox WHERE channel = 'usage') AS "usageReports",
  (SELECT count(*)::int FROM outbox WHERE channel = 'notice' AND status = 'delivered') AS notices,
  (SELECT count(*)::int FROM outbox WHERE status = 'dead') + (SELECT count(*)::int FROM ledger WHERE status = 'dead') AS dead`;
