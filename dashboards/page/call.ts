/** Who is logged in. `csrf` shows the server that a change comes from this page. */
export interface Session {
  readonly username: string;
  readonly role: 'viewer' | 'operator';
  readonly csrf: string;
}

/** To the login, and back here after it. */
export function toLogin(): void {
  location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
}

/** Reads something. @throws Error with the server's words */
export async function read<T>(path: string): Promise<T> {
  return unwrap<T>(await reach(path));
}

/** Reads it again though nobody has asked: a page that is left open does not keep its session. @throws as `read` */
export async function readAgain<T>(path: string): Promise<T> {
  return unwrap<T>(await reach(path, { headers: { 'x-unasked': '1' } }));
}

/** Does something. @returns what has been done, for people; @throws Error with the server's words */
export async function act(action: string, words: object, session: Session): Promise<string> {
  const headers = { 'content-type': 'application/json', 'x-csrf-token': session.csrf };
  const { message } = await unwrap<{ message: string }>(
    await reach(`/api/actions/${encodeURIComponent(action)}`, { method: 'POST', headers, body: JSON.stringify(words) }),
  );
  return message;
}

async function reach(path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(path, { ...init, headers: { accept: 'application/json', ...init.headers } });
  } catch (error) {
    throw new Error('The dashboard cannot be reached.', { cause: error });
  }
}

async function unwrap<T>(response: Response): Promise<T> {
  if (response.status === 401) toLogin();
  const body = (await response.json()) as { success: boolean; data: T; message?: readonly string[] };
  if (!response.ok) throw new Error(body.message?.join(' ') ?? `The answer was ${response.status}.`);
  return body.data;
}
