import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';

/** A door to Postgres that counts what goes through it. */
export interface StatementCounter {
  /** The address of the server with this door in place of its own. */
  through(url: string): string;
  /** Statements executed so far, those of transactions (BEGIN, COMMIT) included. */
  count(): number;
  close(): Promise<void>;
}

/** `Execute` of a prepared statement, and a simple query: each is a statement of its own. */
const STATEMENTS = new Set(['E', 'Q'].map((letter) => letter.charCodeAt(0)));

/** Listens on loopback, hands everything on to the server of `url` and counts the statements in between, on the wire. */
export async function countStatements(url: string): Promise<StatementCounter> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer((near) => {
    const far = createConnection({ host: hostname, port: Number(port || 5432) });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    far.pipe(near);
    const see = createReader((type) => {
      if (STATEMENTS.has(type)) count += 1;
    });
    near.on('data', (chunk: Buffer) => {
      see(chunk);
      far.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const own = String((server.address() as AddressInfo).port);
  return {
    through: (address) => Object.assign(new URL(address), { hostname: '127.0.0.1', port: own }).href,
    count: () => count,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** Reads the messages of one client: a startup message (length, body), then type, length, body. */
function createReader(onMessage: (type: number) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  let started = false;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const head = started ? 1 : 0;
      if (rest.length < head + 4) return;
      const length = head + rest.readUInt32BE(head);
      if (rest.length < length) return;
      if (started) onMessage(rest.readUInt8(0));
      started = true;
      rest = rest.subarray(length);
    }
  };
}
