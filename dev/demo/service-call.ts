import { setTimeout as pause } from 'node:timers/promises';

/** One call to the API as a service. Repeats itself through faults that pass; a refusal is an answer. */
export type ServiceCall = (method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object, key?: string) => Promise<Response>;

/** So long a call is made again before it counts as a fault, ms. */
const PATIENCE_MS = 120_000;
const LONGEST_PAUSE_MS = 5_000;
const TIMEOUT_MS = 35_000;
/** Answers that pass: an overload or a fault of ours. */
const PASSING = [429, 500, 502, 503, 504];

/** @param headers  show who calls */
export function createServiceCall(api: string, headers: Readonly<Record<string, string>>, onRetry: () => void): ServiceCall {
  return async (method, path, body, key) => {
    const keyed = key === undefined ? {} : { 'idempotency-key': key };
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const until = performance.now() + PATIENCE_MS;
    for (let tries = 1; ; tries += 1) {
      const init = { method, headers: { ...headers, ...keyed, ...type }, ...content, signal: AbortSignal.timeout(TIMEOUT_MS) };
      const response = await fetch(`${api}${path}`, init).catch((error: unknown) => {
        // Broken connections are part of the show, the call is made again under the same key.
        if (performance.now() > until) throw error;
      });
      if (response !== undefined && (!PASSING.includes(response.status) || performance.now() > until)) return response;
      onRetry();
      await pause(Math.min(100 * 2 ** tries, LONGEST_PAUSE_MS));
    }
  };
}
