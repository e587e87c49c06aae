import { Agent, type IncomingMessage, request } from 'node:http';

/** An answer of the API, its body read as JSON. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: HttpBody;
}

/** The envelope of every answer. */
export interface HttpBody {
  readonly success?: boolean;
  readonly code?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Calls one server over connections that are kept. */
export interface HttpClient {
  post(path: string, body: unknown): Promise<HttpAnswer>;
  get(path: string): Promise<HttpAnswer>;
  close(): void;
}

/**
 * @param connections  most connections at once; without a limit a call never waits for one
 */
export function openHttpClient(base: string, headers: Readonly<Record<string, string>>, connections = Infinity): HttpClient {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });

  function call(method: string, path: string, text: string): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const content = method === 'GET' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
      const sent = request(new URL(path, base), { method, agent, headers: { ...headers, ...content } }, (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () => resolve(readAnswer(answer, Buffer.concat(parts).toString())));
      });
      sent.on('error', (error: NodeJS.ErrnoException) => {
        // The server may close a kept connection at the very moment it is used again; nothing was taken then.
        if (sent.reusedSocket && error.code === 'ECONNRESET') call(method, path, text).then(resolve, reject);
        else reject(error);
      });
      sent.end(method === 'GET' ? undefined : text);
    });
  }

  return {
    post: (path, body) => call('POST', path, JSON.stringify(body)),
    get: (path) => call('GET', path, ''),
    close: () => agent.destroy(),
  };
}

function readAnswer(answer: IncomingMessage, text: string): HttpAnswer {
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: JSON.parse(text) as HttpBody };
}
