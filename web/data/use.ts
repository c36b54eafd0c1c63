import { useEffect, useState } from 'react';
import { get } from './api.ts';

export interface Loaded<T> {
  data: T | null;
  error: Error | null;
}

/** Gets a document and gets it anew when `path` or `again` changes; the last one stays meanwhile. */
export function useGet<T>(path: string | null, again: unknown = null): Loaded<T> {
  const [loaded, setLoaded] = useState<Loaded<T>>({ data: null, error: null });
  // biome-ignore lint/correctness/useExhaustiveDependencies: `again` is what asks for it anew
  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    get<T>(path, stop.signal).then(
      (data) => stop.signal.aborted || setLoaded({ data, error: null }),
      (error: Error) => stop.signal.aborted || setLoaded((before) => ({ ...before, error })),
    );
    return () => stop.abort();
  }, [path, again]);
  return loaded;
}

/** The time, again every so many milliseconds. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
