import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { messageOf, SchedulerError } from '../shared/errors.ts';
import { answerKey, type Claim, claimKey, forgetKey, type KeyedCall, renewKey, type StoredAnswer } from '../shared/store/idempotency.ts';
import type { Store } from '../shared/store/store.ts';

/**
 * `Idempotency-Key`: the same key and the same body get the first outcome again.
 *
 * The first call holds its key by a short lease that it renews while it works. A repeat that comes meanwhile waits for
 * the outcome; if the first one dies, the lease runs out and the repeat takes over. A refusal of 5xx (a neighbour is away) is not
 * kept. After a fault nobody knows how far the call came: the key lives on, and a repeat asks for the very same thing.
 */

/** A call that holds its key. `since` tells two lives of a key apart. */
export interface HeldKey {
  readonly call: KeyedCall;
  readonly since: Date;
  readonly renewal: NodeJS.Timeout;
  /** The hash of a streamed body, once it has been read. */
  streamHash: string | undefined;
  /** Whether a fault came in between: what was asked may have been done, or may be yet. */
  faulty: boolean;
}

const LEASE_S = 10;
const RENEW_MS = 3_000;
const LONGEST_WAIT_MS = 40_000;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 200;
const RETRY_AFTER = 'retry-after';
const KEPT_HEADERS = ['content-type', 'location', RETRY_AFTER] as const;

/**
 * Before the handler: takes the key, or answers with what the first call was answered.
 *
 * @throws SchedulerError IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED, STATE_CONFLICT (the first call still works)
 */
export async function beginKeyed(store: Store, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
  const call = keyedCallOf(request);
  if (call === undefined) return undefined;
  const claim = await settledClaim(store, call, request);
  if (claim.kind === 'answered') return replay(request, reply, call, claim);
  request.heldKey = { call, since: claim.since, renewal: keepRenewing(store, call, request), streamHash: undefined, faulty: false };
  return undefined;
}

/** After the handler: remembers the outcome, lets the key live on after a fault, or forgets it with a refusal that passes. Never fails the answer. */
export async function endKeyed(store: Store, request: FastifyRequest, reply: FastifyReply, body: string): Promise<void> {
  const held = request.heldKey;
  if (held === undefined) return;
  request.heldKey = undefined;
  clearInterval(held.renewal);
  try {
    if (reply.statusCode >= 500 && held.faulty) await renewKey(store, held.call, 0);
    else if (reply.statusCode >= 500) await forgetKey(store, held.call);
    else await answerKey(store, held.call, answerOf(held, reply, body));
  } catch (error) {
    request.log.warn({ err: error }, 'the outcome of a keyed call could not be stored; a repeat will run again');
  }
}

/** The call of a POST or PUT that carries the header. */
function keyedCallOf(request: FastifyRequest): KeyedCall | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined || (request.method !== 'POST' && request.method !== 'PUT')) return undefined;
  if (typeof key !== 'string' || key.length < 1 || key.length > 255) throw new SchedulerError('IDEMPOTENCY_KEY_INVALID');
  // A checked body has its fields in the order of the schema and its defaults filled in: equal wishes are equal text.
  const bodyHash = request.body instanceof Readable ? null : hashOf(JSON.stringify(request.body ?? null));
  return { caller: request.caller.key, key, route: `${request.method} ${request.url}`, bodyHash };
}

async function settledClaim(
  store: Store,
  call: KeyedCall,
  request: FastifyRequest,
): Promise<Extract<Claim, { kind: 'mine' | 'answered' }>> {
  const patience = Date.now() + LONGEST_WAIT_MS;
  for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) {
    const claim = await claimKey(store, call, LEASE_S);
    if (claim.kind === 'mine' || claim.kind === 'answered') return claim;
    if (claim.kind === 'reused') throw new SchedulerError('IDEMPOTENCY_KEY_REUSED');
    if (Date.now() > patience || request.raw.socket.destroyed) {
      throw new SchedulerError('STATE_CONFLICT', {
        messages: ['The first call with this Idempotency-Key is still being worked on.'],
        retryAfter: 1,
      });
    }
    await pause(wait);
  }
}

async function replay(
  request: FastifyRequest,
  reply: FastifyReply,
  call: KeyedCall,
  { answer, ageSeconds }: Extract<Claim, { kind: 'answered' }>,
): Promise<FastifyReply> {
  if (call.bodyHash === null && (await hashOfStream(request)) !== answer.bodyHash) throw new SchedulerError('IDEMPOTENCY_KEY_REUSED');
  const headers = { ...answer.headers, ...waitLeft(answer.headers[RETRY_AFTER], ageSeconds), 'idempotency-replayed': 'true' };
  return reply.code(answer.statusCode).headers(headers).send(answer.body);
}

/** How long was to be waited counted from the first answer, s; what is left of it is at least 1, since asking at once never helps. */
function waitLeft(retryAfter: string | undefined, ageSeconds: number): Record<string, string> {
  if (retryAfter === undefined) return {};
  return { [RETRY_AFTER]: String(Math.max(1, Math.ceil(Number(retryAfter) - ageSeconds))) };
}

function keepRenewing(store: Store, call: KeyedCall, request: FastifyRequest): NodeJS.Timeout {
  return setInterval(() => {
    renewKey(store, call, LEASE_S).catch((error: unknown) =>
      request.log.warn({ reason: messageOf(error) }, 'the lease of an Idempotency-Key was not renewed'),
    );
  }, RENEW_MS).unref();
}

function answerOf(held: HeldKey, reply: FastifyReply, body: string): StoredAnswer {
  const headers = Object.fromEntries(
    KEPT_HEADERS.flatMap((name) => {
      const value = reply.getHeader(name);
      return value === undefined ? [] : [[name, String(value)]];
    }),
  );
  return { statusCode: reply.statusCode, headers, body, bodyHash: held.call.bodyHash ?? held.streamHash ?? '' };
}

async function hashOfStream(request: FastifyRequest): Promise<string> {
  const hash = createHash('sha256');
  if (request.body instanceof Readable) for await (const part of request.body) hash.update(part as Buffer);
  return hash.digest('hex');
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
