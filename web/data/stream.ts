import { useEffect, useRef, useState } from 'react';
import { offline } from './offline.ts';
import type { Commit, ProgressEntry, RunSummary } from './types.ts';

export interface Heard {
  commits?(commits: Commit[]): void;
  runs?(changed: { shown: RunSummary[]; hidden: string[] }): void;
  progress?(entries: ProgressEntry[]): void;
}

const reopenMs = 2_000;

/**
 * Listens to a stream from `after` on. The browser reconnects by itself with the id of the last commit
 * that it got; when it gives up, a new stream begins at that id. Gives whether it is connected.
 */
export function useStream(path: string | null, after: number | null, heard: Heard): boolean {
  const [connected, setConnected] = useState(false);
  const hear = useRef(heard);
  hear.current = heard;
  useEffect(() => {
    if (path === null || after === null || offline !== null) return;
    let source: EventSource | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last = after;
    const open = (): void => {
      const address = new URL(path, location.href);
      address.searchParams.set('after', String(last));
      source = new EventSource(address);
      source.onopen = () => setConnected(true);
      source.onerror = () => {
        setConnected(false);
        if (source?.readyState === EventSource.CLOSED) timer = setTimeout(open, reopenMs);
      };
      source.addEventListener('commits', (event) => {
        last = Number(event.lastEventId);
        hear.current.commits?.(JSON.parse(event.data) as Commit[]);
      });
      source.addEventListener('runs', (event) => hear.current.runs?.(JSON.parse(event.data)));
      source.addEventListener('progress', (event) => hear.current.progress?.(JSON.parse(event.data)));
    };
    open();
    return () => {
      clearTimeout(timer);
      source?.close();
    };
  }, [path, after]);
  return connected || offline !== null;
}
