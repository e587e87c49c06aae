import { createLife } from '../shared/run/life.ts';
import type { Account } from './accounts.ts';
import { type DepsOptions, openDeps } from './open-deps.ts';
import { createDashboardServer, type DashboardRoute, type DashboardServer } from './server.ts';

export interface DashboardOptions extends DepsOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly accounts: readonly Account[];
  readonly secureCookies: boolean;
  readonly trustProxy: boolean;
}

/** A dashboard that listens. */
export interface Dashboard {
  readonly url: string;
  readonly routes: readonly DashboardRoute[];
  close(): Promise<void>;
}

/** How long answers under way may take when the process ends, ms. */
const ANSWERS_WITHIN_MS = 1_000;

/**
 * Starts the dashboard over every queue of the product.
 *
 * @throws SchedulerError QUEUE_UNAVAILABLE when Redis is not there, the system's error when the address is taken
 */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const { host, port, accounts, secureCookies, trustProxy, logger } = options;
  const life = createLife(logger);
  try {
    const deps = await openDeps(life, options);
    const { app, routes } = await createDashboardServer({ ...deps, accounts, secureCookies, trustProxy });
    life.onClose('server', () => closeServer(app));
    return { url: await app.listen({ host, port }), routes, close: life.close };
  } catch (error) {
    await life.close();
    throw error;
  }
}

/** Answers under way are finished, for a moment; then connections are cut: browsers open some that never ask anything. */
async function closeServer(app: DashboardServer['app']): Promise<void> {
  const closed = app.close();
  const timer = setTimeout(() => app.server.closeAllConnections(), ANSWERS_WITHIN_MS);
  await closed;
  clearTimeout(timer);
}
