import { useEffect, useRef, useState } from 'react';
import { setParams } from '../data/address.ts';

const names = ['q', 'machine', 'status', 'trouble', 'roots'] as const;

/** The part of the address that says which runs are shown: the server reads the same text. */
export function filterOf(params: URLSearchParams): string {
  const filter = new URLSearchParams();
  for (const name of names) {
    const value = params.get(name);
    if (value !== null && value !== '') filter.set(name, value);
  }
  return filter.toString();
}

const statuses = ['running', 'waiting', 'pending', 'parked', 'done', 'failed', 'cancelled'];
const typingMs = 200;

/** What the table shows, kept in the address. `/` goes to the search. */
export function Filters({
  params,
  counts,
}: {
  params: URLSearchParams;
  counts: readonly { machine: string; status: string; runs: number }[];
}) {
  const search = useRef<HTMLInputElement>(null);
  const [words, setWords] = useState(params.get('q') ?? '');
  useEffect(() => {
    const timer = setTimeout(() => {
      if (words !== (new URLSearchParams(location.search).get('q') ?? '')) setParams({ q: words });
    }, typingMs);
    return () => clearTimeout(timer);
  }, [words]);
  useEffect(() => {
    const focus = (event: KeyboardEvent): void => {
      const typing = (event.target as Element).closest?.('input, textarea, select, dialog') !== null;
      if (event.key !== '/' || typing) return;
      event.preventDefault();
      search.current?.focus();
    };
    window.addEventListener('keydown', focus);
    return () => window.removeEventListener('keydown', focus);
  }, []);

  const chosen = (params.get('status') ?? '').split(',').filter((each) => each !== '');
  const toggle = (status: string): void => {
    const next = chosen.includes(status) ? chosen.filter((each) => each !== status) : [...chosen, status];
    setParams({ status: next.join(',') });
  };
  const countOf = (status: string): number =>
    counts.reduce((sum, each) => sum + (each.status === status ? each.runs : 0), 0);
  const machines = [...new Set(counts.map(({ machine }) => machine))].sort();
  return (
    <search className="filters">
      <input
        ref={search}
        type="search"
        placeholder="Search id, key, input, output, error …   ( / )"
        aria-label="Search runs"
        value={words}
        onChange={(event) => setWords(event.target.value)}
      />
      <select
        aria-label="Machine"
        value={params.get('machine') ?? ''}
        onChange={(event) => setParams({ machine: event.target.value })}
      >
        <option value="">all machines</option>
        {machines.map((machine) => (
          <option key={machine}>{machine}</option>
        ))}
      </select>
      <Chip on={params.get('trouble') === '1'} onClick={(on) => setParams({ trouble: on ? '1' : null })}>
        in trouble
      </Chip>
      <Chip on={params.get('roots') === '1'} onClick={(on) => setParams({ roots: on ? '1' : null })}>
        top level
      </Chip>
      <fieldset className="chips">
        <legend className="hidden">Status</legend>
        {statuses.map((status) => (
          <Chip key={status} on={chosen.includes(status)} onClick={() => toggle(status)}>
            {status} <span className="dim">{countOf(status)}</span>
          </Chip>
        ))}
      </fieldset>
    </search>
  );
}

function Chip({
  on,
  onClick,
  children,
}: {
  on: boolean;
  onClick(on: boolean): void;
  children: React.ReactNode;
}) {
  return (
    <button type="button" className="chip" aria-pressed={on} onClick={() => onClick(!on)}>
      {children}
    </button>
  );
}
