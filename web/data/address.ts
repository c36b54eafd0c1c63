import { useSyncExternalStore } from 'react';

// The address of the page says what it shows, so that it can be kept, sent and gone back to.

const listeners = new Set<() => void>();
const tell = (): void => {
  for (const listener of listeners) listener();
};
const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  window.addEventListener('popstate', listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener('popstate', listener);
  };
};
const isFile = location.protocol === 'file:';

/** In a file there are no paths: the address is in the fragment. */
const current = (): string => (isFile ? location.hash.slice(1) || '/' : location.pathname + location.search);

/** Path and query of the page. */
export function useAddress(): { path: string; params: URLSearchParams } {
  const address = useSyncExternalStore(subscribe, current);
  const [path = '/', search = ''] = address.split('?');
  return { path, params: new URLSearchParams(search) };
}

/** Goes to another page of the dashboard; `replace`: without a step to go back to. */
export function go(address: string, replace = false): void {
  const to = isFile ? `#${address}` : address;
  if (replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  tell();
}

/** Changes some of the query; null takes a name out. */
export function setParams(changes: Record<string, string | null>, replace = true): void {
  const [path = '/', search = ''] = current().split('?');
  const params = new URLSearchParams(search);
  for (const [name, value] of Object.entries(changes))
    if (value === null || value === '') params.delete(name);
    else params.set(name, value);
  const text = params.toString();
  go(text === '' ? path : `${path}?${text}`, replace);
}
