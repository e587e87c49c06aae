import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Life } from './life.ts';

export interface MetricsServerOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly registry: Registry;
  /** What `/health` says, by part; every part `true` is 200, else 503. */
  readonly health: () => Readonly<Record<string, boolean>>;
  readonly logger: Logger;
}

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves `/metrics` (Prometheus text) and `/health` of one process. No authentication: bind it to loopback or a private network.
 *
 * @throws the error of the operating system when the address is taken
 */
export async function startMetricsServer({ host, port, registry, health, logger }: MetricsServerOptions): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (path === '/metrics') return void sendMetrics(registry, response, logger);
    if (path === '/health') return sendHealth(health(), response);
    response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: portOf(server.address()),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The same for the life of a process: closed with it, and its port is logged. */
export async function serveMetrics(life: Life, options: MetricsServerOptions): Promise<void> {
  const server = await startMetricsServer(options);
  life.onClose('metrics server', server.close);
  options.logger.info({ port: server.port }, 'metrics are served');
}

async function sendMetrics(registry: Registry, response: ServerResponse, logger: Logger): Promise<void> {
  try {
    response.setHeader('content-type', registry.contentType).end(await registry.metrics());
  } catch (error) {
    logger.error({ err: error }, 'metrics cannot be collected');
    response.writeHead(500).end(messageOf(error));
  }
}

function sendHealth(parts: Readonly<Record<string, boolean>>, response: ServerResponse): void {
  const ok = Object.values(parts).every(Boolean);
  response.writeHead(ok ? 200 : 503, { 'content-type': 'application/json' }).end(JSON.stringify({ ok, ...parts }));
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}
