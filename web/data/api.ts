import { offline } from './offline.ts';

/** An answer that was no success, in the server's words. */
export class ApiError extends Error {
  readonly code: string;
  readonly hint: string | null;
  readonly status: number;
  constructor(status: number, { code, message, hint }: { code: string; message: string; hint?: string }) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint ?? null;
  }
}

/** Gets a document of the API, or of the file that this page is. Throws `ApiError`. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  if (offline !== null) return offline(path) as T;
  return answer(await ask(path, { ...(signal === undefined ? {} : { signal }) }));
}

/** Asks for something to be done. Throws `ApiError`. */
export async function post<T>(path: string, body: unknown): Promise<T> {
  const headers = { 'content-type': 'application/json' };
  return answer(await ask(path, { method: 'POST', headers, body: JSON.stringify(body) }));
}

/** Trades the token of the address for a cookie, once, and takes it out of the address. */
export async function openSession(): Promise<void> {
  if (offline !== null) return;
  const token = /^#token=([A-Za-z0-9_-]+)$/.exec(location.hash)?.[1];
  if (token === undefined) return;
  history.replaceState(null, '', location.pathname + location.search);
  const headers = { authorization: `Bearer ${token}` };
  await answer(await ask('/api/session', { method: 'POST', headers }));
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init);
  } catch (cause) {
    if ((cause as Error).name === 'AbortError') throw cause;
    throw new ApiError(0, {
      code: 'unreachable',
      message: 'the server does not answer',
      hint: 'flyd inspect',
    });
  }
}

async function answer<T>(response: Response): Promise<T> {
  const document = (await response.json()) as T & { error?: { code: string; message: string } };
  if (response.ok) return document;
  throw new ApiError(
    response.status,
    document.error ?? { code: 'unclassified', message: response.statusText },
  );
}
