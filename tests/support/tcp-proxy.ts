import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';

/** A stand-in for the network between us and a server: it can be cut, and it can fall silent. */
export interface TcpProxy {
  readonly port: number;
  /** Resets every connection and takes no new ones. */
  cut(): void;
  /** Takes connections again. */
  restore(): void;
  /** Keeps connections but passes nothing on, in either direction. */
  stall(): void;
  /** Passes on again, what came meanwhile included. */
  resume(): void;
  /** Says something to every client in the server's name; at a moment when the server says nothing. */
  sayToClients(bytes: Buffer): void;
  close(): Promise<void>;
}

/** Decides what of one direction of one connection is passed on, and when. */
export type Filter = (chunk: Buffer, pass: (bytes: Buffer) => void) => void;

/** Filters for each new connection; what has none passes as it is. */
export interface Filters {
  readonly fromClient?: () => Filter;
  readonly fromServer?: () => Filter;
}

const PASS_ALL = (): Filter => (chunk, pass) => pass(chunk);

/**
 * Listens on a free port of loopback and passes everything on to a server.
 *
 * @param target  where to, for example `new URL(env.RABBITMQ_URL)`
 */
export async function startTcpProxy(
  target: { readonly hostname: string; readonly port: string },
  { fromClient = PASS_ALL, fromServer = PASS_ALL }: Filters = {},
): Promise<TcpProxy> {
  const { hostname: host, port } = target;
  const pairs = new Set<readonly [Socket, Socket]>();
  let isCut = false;
  let isStalled = false;

  const accept = (near: Socket) => {
    if (isCut) return void near.resetAndDestroy();
    const far = createConnection({ host, port: Number(port) });
    const pair = [near, far] as const;
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    const ways = [
      [near, far, fromClient()],
      [far, near, fromServer()],
    ] as const;
    for (const [from, to, filter] of ways) {
      from.on('data', (chunk) => filter(chunk, (bytes) => void to.write(bytes)));
      // A reset is what this stand-in is for: the other side sees the close.
      from.on('error', end);
      from.on('close', end);
      if (isStalled) from.pause();
    }
  };
  const server = createServer(accept);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const reset = () => {
    for (const [near, far] of pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      isCut = true;
      reset();
    },
    restore: () => {
      isCut = false;
    },
    stall: () => {
      isStalled = true;
      for (const socket of [...pairs].flat()) socket.pause();
    },
    resume: () => {
      isStalled = false;
      for (const socket of [...pairs].flat()) socket.resume();
    },
    sayToClients: (bytes) => {
      for (const [near] of pairs) near.write(bytes);
    },
    close: () =>
      new Promise((resolve) => {
        reset();
        server.close(() => resolve());
      }),
  };
}
