import { randomUUID } from 'node:crypto';
import type { ReadableStream } from 'node:stream/web';
import { z } from 'zod';
import { CliFailure } from './cli-failure.ts';
import type { Credentials } from './credentials.ts';
import { exitOf, hintsFor } from './explain-refusal.ts';
import { unreachable } from './unreachable.ts';

/** One call. A write carries an Idempotency-Key, so that repeating it by hand is safe. */
export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  /** What is undefined is left out. */
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  /** NDJSON, sent while it is read, instead of `body`. */
  readonly lines?: ReadableStream<Uint8Array>;
  readonly idempotencyKey?: string | undefined;
  /** Longest wait for the answer, ms. */
  readonly timeoutMs?: number;
}

/** A success: its data as the API gave it, and when it did. */
export interface ApiAnswer {
  readonly status: number;
  readonly data: unknown;
  readonly requestId: string;
  /** The clock of the API: what is "in 12 min" must not depend on ours. */
  readonly at: Date;
}

/** Calls one API as one caller. */
export interface ApiCaller {
  readonly url: string;
  /** @throws CliFailure for everything that is no success */
  call(call: ApiCall): Promise<ApiAnswer>;
}

const DEFAULT_TIMEOUT_MS = 30_000;

const success = z.object({ success: z.literal(true), data: z.unknown(), requestId: z.string(), timestamp: z.iso.datetime() });
const refusal = z.object({
  success: z.literal(false),
  statusCode: z.int(),
  code: z.string(),
  message: z.array(z.string()),
  details: z.record(z.string(), z.unknown()).optional(),
  requestId: z.string(),
});

/**
 * @param url          where the API is, with or without a slash at the end
 * @param credentials  asked once, at the first call
 */
export function createApiCaller(url: string, credentials: () => Promise<Credentials>): ApiCaller {
  let shown: Promise<Credentials> | undefined;
  return {
    url,
    call: async (call) => {
      shown ??= credentials();
      return answerOf(url, await send(url, call, await shown));
    },
  };
}

async function send(url: string, call: ApiCall, credentials: Credentials): Promise<Response> {
  const { method, path, query = {}, body, lines, timeoutMs = DEFAULT_TIMEOUT_MS } = call;
  const address = new URL(`${url.replace(/\/+$/, '')}${path}`);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) address.searchParams.set(name, String(value));
  const key = call.idempotencyKey ?? (method === 'GET' || method === 'DELETE' ? undefined : randomUUID());
  const requestId = randomUUID();
  const type = lines === undefined ? 'application/json' : 'application/x-ndjson';
  const content = lines ?? (body === undefined ? undefined : JSON.stringify(body));
  const request = {
    method,
    headers: {
      accept: 'application/json',
      'x-request-id': requestId,
      ...credentials,
      ...(content === undefined ? {} : { 'content-type': type }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
    signal: AbortSignal.timeout(timeoutMs),
    redirect: 'manual',
    ...(content === undefined ? {} : { body: content, duplex: 'half' }),
  } as RequestInit;
  try {
    return await fetch(address, request);
  } catch (error) {
    throw unreachable({ error, url, key, requestId, timeoutMs });
  }
}

async function answerOf(url: string, response: Response): Promise<ApiAnswer> {
  const text = await response.text();
  const json = parsed(text);
  const answer = success.safeParse(json);
  if (answer.success) {
    const { data, requestId, timestamp } = answer.data;
    return { status: response.status, data, requestId, at: new Date(timestamp) };
  }
  const { data: refused } = refusal.safeParse(json);
  if (refused === undefined) throw notTheApi(url, response);
  const { statusCode, code, message, details, requestId } = refused;
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfter = Number.isFinite(seconds) ? seconds : undefined;
  throw new CliFailure({
    exit: code === 'FORBIDDEN' ? 'denied' : exitOf(statusCode),
    code,
    messages: message,
    hints: hintsFor(code, retryAfter, details?.['field']),
    statusCode,
    requestId,
    ...(details === undefined ? {} : { details }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON, so not the API: told by whoever called.
    return undefined;
  }
}

function notTheApi(url: string, response: Response): CliFailure {
  const type = response.headers.get('content-type') ?? 'no content type';
  return new CliFailure({
    exit: 'unreachable',
    code: 'UNEXPECTED_ANSWER',
    messages: [`${url} answered ${response.status} (${type}), and not as the scheduler does.`],
    hints: ['Is --url the address of the scheduler, and nothing else in front of it?'],
    statusCode: response.status,
  });
}
