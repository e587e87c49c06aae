import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf } from '../../shared/errors.ts';
import { type CallLog, createCallLog } from './call-log.ts';
import { createFaults, type Fault, type PlannedFault, plannedFaultSchema } from './faults.ts';
import { createTokenCheck } from './token-check.ts';

/** An answer of a stand-in. */
export interface StandInAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** One request, read and let in. */
export interface StandInRequest {
  readonly method: string;
  /** Parts of the path without the prefix, decoded. */
  readonly path: readonly string[];
  readonly body: unknown;
  readonly idempotencyKey: string | undefined;
}

export interface StandInOptions {
  /** 0: any free port. */
  readonly port: number;
  /** Key of the service tokens it accepts (HS256). */
  readonly secret: string;
  /** In front of every path, for example `/gateway`. */
  readonly pathPrefix?: string;
}

/** What makes one stand-in different from the next. */
export interface StandInService {
  answer(request: StandInRequest): StandInAnswer;
  /** Shown on `GET /control/summary`. */
  summary(): unknown;
  /** Verbs of `POST /control/<verb>` beside those every stand-in has. */
  readonly controls: Readonly<Record<string, (body: unknown) => void>>;
}

/** How a stand-in is told to misbehave, and watched. */
export interface StandInControl {
  readonly calls: CallLog;
  fail(fault: Fault, reach?: Omit<PlannedFault, 'fault'>): void;
  heal(): void;
  /** Refuses connections, cutting the open ones, until `accept`. */
  refuse(): Promise<void>;
  accept(): Promise<void>;
  /** Connections that are open, and the most that ever were at once. */
  connections(): { readonly open: number; readonly most: number };
}

export interface StandIn<Control extends StandInControl = StandInControl> {
  readonly url: string;
  readonly port: number;
  readonly control: Control;
  readonly summary: () => unknown;
  close(): Promise<void>;
}

/** Starts a real HTTP server on the loopback that behaves as `service` says, except where it is told not to. */
export async function startStandIn(options: StandInOptions, service: StandInService): Promise<StandIn> {
  const prefix = options.pathPrefix ?? '';
  const calls = createCallLog();
  const faults = createFaults();
  const isOurs = createTokenCheck(options.secret);
  const closing = new AbortController();
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      if (!response.destroyed) send(response, { status: 500, body: { message: messageOf(error) } });
    });
  });
  const connections = countConnections(server);
  await listen(server, options.port);
  const { port } = server.address() as AddressInfo;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://stand-in').pathname;
    const body = await readBody(request);
    if (path.startsWith('/control/')) return send(response, controlled(path.slice('/control/'.length), body));
    calls.add({ method: request.method ?? '', path, headers: request.headers, body, at: performance.now() });
    if (!(await isOurs(request.headers['x-service-token'])))
      return send(response, { status: 401, body: { message: 'wrong service token' } });
    const key = request.headers['idempotency-key'];
    const act = () =>
      path.startsWith(`${prefix}/`)
        ? service.answer({
            method: request.method ?? '',
            path: segments(path.slice(prefix.length)),
            body,
            idempotencyKey: typeof key === 'string' ? key : undefined,
          })
        : NOT_FOUND;
    await misbehave(faults.next(path), response, act, closing.signal);
  }

  function controlled(verb: string, body: unknown): StandInAnswer {
    if (verb === 'summary') return { status: 200, body: service.summary() };
    const control = { fail: (row: unknown) => faults.plan(plannedFaultSchema.parse(row)), heal: () => faults.clear(), ...service.controls }[
      verb
    ];
    if (control === undefined) return NOT_FOUND;
    try {
      control(body);
      return { status: 200, body: {} };
    } catch (error) {
      if (error instanceof z.ZodError) return { status: 400, body: { message: z.prettifyError(error) } };
      throw error;
    }
  }

  const control: StandInControl = {
    calls,
    fail: (fault, reach = {}) => faults.plan({ fault, ...reach }),
    heal: () => faults.clear(),
    refuse: () => shut(server),
    accept: () => listen(server, port),
    connections,
  };
  const close = () => {
    closing.abort();
    return shut(server);
  };
  return { url: `http://127.0.0.1:${port}${prefix}`, port, control, summary: service.summary, close };
}

export const NOT_FOUND: StandInAnswer = { status: 404, body: { message: 'not found' } };

async function misbehave(
  fault: Fault | undefined,
  response: ServerResponse,
  act: () => StandInAnswer,
  closing: AbortSignal,
): Promise<void> {
  switch (fault?.kind) {
    case undefined:
      return send(response, act());
    case 'status':
      if (fault.retryAfter !== undefined) response.setHeader('retry-after', String(fault.retryAfter));
      return send(response, { status: fault.status, body: { message: 'told to fail' } });
    case 'slow':
      await pause(fault.ms, undefined, { signal: closing });
      return send(response, act());
    case 'hang':
      return;
    case 'malformed':
      response.end('<html>gateway</html>');
      return;
    case 'wrong-shape':
      return send(response, { status: 200, body: { surprise: true } });
    case 'huge':
      return flood(response);
    case 'drip':
      return drip(response, fault.everyMs);
    case 'reset':
      response.socket?.destroy();
      return;
    case 'lost-answer':
      act();
      response.socket?.destroy();
      return;
  }
}

function send(response: ServerResponse, { status, body }: StandInAnswer): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

async function drip(response: ServerResponse, everyMs: number): Promise<void> {
  while (!response.destroyed) {
    response.write(' ');
    await pause(everyMs);
  }
}

async function flood(response: ServerResponse): Promise<void> {
  const chunk = ' '.repeat(64 * 1024);
  while (!response.destroyed) {
    if (!response.write(chunk)) await pause(1);
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function segments(path: string): string[] {
  return path.split('/').slice(1).map(decodeURIComponent);
}

function countConnections(server: Server): StandInControl['connections'] {
  let [open, most] = [0, 0];
  server.on('connection', (socket) => {
    open += 1;
    most = Math.max(most, open);
    socket.once('close', () => {
      open -= 1;
    });
  });
  return () => ({ open, most });
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function shut(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
