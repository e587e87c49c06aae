import { createServer } from 'node:net';

/** What was given away in this process: nobody may listen there yet when another one is asked for. */
const given = new Set<number>();

/** Any port of the loopback that is free at the moment; never the same twice. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await listenFor(0);
    if (port === undefined) throw new Error('no free port');
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
}

/** The port asked for if it is free, else another one. */
export async function freePortNear(wanted: number): Promise<number> {
  return (wanted === 0 || given.has(wanted) ? undefined : await listenFor(wanted)) ?? freePort();
}

function listenFor(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : undefined));
    });
  });
}
