import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { PlannedRequest } from './planned-request.ts';
import { MORE_MINUTES, type Told, type WayIn } from './way-in.ts';

export interface HttpWayOptions {
  readonly api: string;
  /** Who asks: the headers that show it, and what the body may say besides. */
  readonly signIn: (plan: PlannedRequest) => Promise<Readonly<Record<string, string>>>;
  /** Whether the caller may state the tier of a user: services may, users may not. */
  readonly statesTier: boolean;
  /** Hears of every call that had to be repeated. */
  readonly onRetry: () => void;
}

const data = z.object({
  data: z
    .looseObject({
      status: z.string(),
      allocationId: z.string(),
      requestId: z.string(),
      fence: z.number(),
      code: z.string(),
    })
    .partial(),
});
const refusal = z.object({ code: z.string() });

/** So long a call is made again before it counts as a fault, ms. */
const PATIENCE_MS = 120_000;
const LONGEST_PAUSE_MS = 5_000;
const ASK_AGAIN_MS = 1_500;
/** Answers that pass: an overload or a fault of ours, not a refusal. */
const PASSING = [429, 500, 502, 503, 504];

/** Asks over HTTP, with an Idempotency-Key, so that a call whose answer was lost can be made again. */
export function createHttpWay({ api, signIn, statesTier, onRetry }: HttpWayOptions): WayIn {
  async function call(method: 'GET' | 'POST' | 'PUT', path: string, plan: PlannedRequest, key?: string, body?: object): Promise<Response> {
    const headers = { ...(await signIn(plan)), ...(key === undefined ? {} : { 'idempotency-key': key }) };
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const until = performance.now() + PATIENCE_MS;
    for (let tries = 1; ; tries += 1) {
      const response = await attempt(`${api}${path}`, {
        method,
        headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
        ...content,
        signal: AbortSignal.timeout(35_000),
      });
      if (response instanceof Response && !PASSING.includes(response.status)) return response;
      if (performance.now() > until)
        throw new Error(`${method} ${path}: ${response instanceof Response ? await response.text() : response.message}`);
      onRetry();
      await pause(waitOf(response, tries));
    }
  }

  async function ask(plan: PlannedRequest): Promise<Told> {
    const { userId, tenantId, tier, asked } = plan;
    const tenant = tenantId === null ? {} : { tenantId };
    const body = { userId, ...tenant, ...asked, waitMs: 10_000, ...(statesTier ? { userTier: tier } : {}) };
    return told(await call('POST', '/scheduler/devices/allocate', plan, plan.id, body));
  }

  async function awaitDecision(plan: PlannedRequest, requestId: string): Promise<Told> {
    for (;;) {
      const now = await told(await call('GET', `/scheduler/requests/${requestId}`, plan));
      if (now.kind !== 'waiting') return now;
      await pause(ASK_AGAIN_MS);
    }
  }

  async function extend(plan: PlannedRequest, allocationId: string, fence: number | undefined): Promise<string | undefined> {
    const body = { additionalMinutes: MORE_MINUTES, ...(fence === undefined ? {} : { fence }) };
    const response = await call('PUT', `/scheduler/allocations/${allocationId}/extend`, plan, `${plan.id}:extend`, body);
    const answer: unknown = await response.json();
    return response.ok ? undefined : refusal.parse(answer).code;
  }

  async function release(plan: PlannedRequest, allocationId: string, fence: number | undefined): Promise<void> {
    const body = { allocationId, ...(fence === undefined ? {} : { fence }) };
    const response = await call('POST', '/scheduler/devices/release', plan, `${plan.id}:release`, body);
    const text = await response.text();
    if (!response.ok) throw new Error(`release of ${allocationId}: ${response.status} ${text}`);
  }

  return { ask, await: awaitDecision, extend, release, close: () => Promise.resolve() };
}

async function attempt(url: string, init: RequestInit): Promise<Response | Error> {
  try {
    return await fetch(url, init);
  } catch (error) {
    // Broken connections are part of the show: the caller asks again under the same key.
    return error instanceof Error ? error : new Error(String(error));
  }
}

function waitOf(response: Response | Error, tries: number): number {
  const said = response instanceof Response ? Number(response.headers.get('retry-after') ?? 0) * 1_000 : 0;
  return Math.max(said, Math.min(100 * 2 ** tries, LONGEST_PAUSE_MS)) * (0.75 + Math.random() / 2);
}

async function told(response: Response): Promise<Told> {
  const body: unknown = await response.json();
  if (!response.ok) return { kind: 'refused', code: refusal.parse(body).code };
  const { status, allocationId, requestId, fence, code } = data.parse(body).data;
  if (allocationId !== undefined) return { kind: 'granted', allocationId, fence };
  if (status === 'pending' || status === 'waiting') return { kind: 'waiting', requestId: requestId ?? '' };
  return { kind: 'refused', code: code ?? status ?? 'unknown' };
}
