import { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Circus } from '@jest/types';
import { TestEnvironment } from 'jest-environment-node';

const GRACE_MS = 10_000;
const SERVERS: readonly { variable: string; what: string; port: number }[] = [
  { variable: 'DATABASE_URL', what: 'Postgres', port: 5432 },
  { variable: 'REDIS_URL', what: 'Redis (a queue, a worker or a client)', port: 6379 },
  { variable: 'RABBITMQ_URL', what: 'RabbitMQ', port: 5672 },
];

/** What a file left behind goes on connecting: after the first one, nothing in this process can be laid at a file's door. */
let isTainted = false;

/** A test file that leaves a connection to one of the servers open fails, and is told which. */
export default class CleanEnvironment extends TestEnvironment {
  async handleTestEvent(event: Circus.AsyncEvent): Promise<void> {
    if (event.name !== 'run_finish' || isTainted) return;
    const deadline = Date.now() + GRACE_MS;
    while (openConnections().length > 0 && Date.now() < deadline) await pause(20);
    const left = openConnections();
    isTainted = left.length > 0;
    if (isTainted) throw new Error(`This file left open: ${left.join(', ')}`);
  }
}

function openConnections(): string[] {
  const handles: unknown[] = Reflect.get(process, '_getActiveHandles').call(process);
  return handles
    .filter((handle) => handle instanceof Socket)
    .filter((socket) => !socket.destroyed)
    .flatMap((socket) => SERVERS.filter((server) => socket.remotePort === portOf(server)).map(({ what }) => what));
}

function portOf({ variable, port }: { variable: string; port: number }): number {
  const url = process.env[variable];
  return url ? Number(new URL(url).port || port) : port;
}
