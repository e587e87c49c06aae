import { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Circus } from '@jest/types';
import { TestEnvironment } from 'jest-environment-node';

const GRACE_MS = 1_000;
const SERVERS: readonly { variable: string; what: string; port: number }[] = [
  { variable: 'DATABASE_URL', what: 'Postgres', port: 5432 },
  { variable: 'REDIS_URL', what: 'Redis (a queue, a worker or a client)', port: 6379 },
  { variable: 'RABBITMQ_URL', what: 'RabbitMQ', port: 5672 },
];

/** Connections of an earlier file of this process were that file's fault. */
const reported = new WeakSet<Socket>();

/** A test file that leaves a connection to one of the servers open fails, and is told which. */
export default class CleanEnvironment extends TestEnvironment {
  async handleTestEvent(event: Circus.AsyncEvent): Promise<void> {
    if (event.name !== 'run_finish') return;
    const deadline = Date.now() + GRACE_MS;
    while (openConnections().length > 0 && Date.now() < deadline) await pause(20);
    const left = openConnections();
    for (const { socket } of left) reported.add(socket);
    if (left.length > 0) throw new Error(`This file left open: ${left.map(({ what }) => what).join(', ')}`);
  }
}

function openConnections(): { what: string; socket: Socket }[] {
  const handles: unknown[] = Reflect.get(process, '_getActiveHandles').call(process);
  return handles
    .filter((handle) => handle instanceof Socket)
    .filter((socket) => !socket.destroyed && !reported.has(socket))
    .flatMap((socket) => SERVERS.filter((server) => socket.remotePort === portOf(server)).map(({ what }) => ({ what, socket })));
}

function portOf({ variable, port }: { variable: string; port: number }): number {
  const url = process.env[variable];
  return url ? Number(new URL(url).port || port) : port;
}
