import { createServer } from 'node:net';

/** Any port of the loopback that is free at the moment. */
export async function freePort(): Promise<number> {
  const port = await listenFor(0);
  if (port === undefined) throw new Error('no free port');
  return port;
}

/** The port asked for if it is free, else another one. */
export async function freePortNear(wanted: number): Promise<number> {
  return (wanted === 0 ? undefined : await listenFor(wanted)) ?? freePort();
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
