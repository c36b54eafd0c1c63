import { type MouseEvent, useEffect, useState } from 'react';
import { go, useAddress } from './data/address.ts';
import { exported } from './data/offline.ts';
import { dateTime } from './data/text.ts';
import { useGet } from './data/use.ts';
import { AuditPage } from './host/audit-page.tsx';
import { HostPage } from './host/host-page.tsx';
import { RunPage } from './run/run-page.tsx';
import { RunsPage } from './runs/runs-page.tsx';

interface About {
  version: string;
  stateDir: string;
  hostname: string;
}

/** The frame of all pages: where one is, and what can be gone to. */
export function App() {
  const { path } = useAddress();
  const about = useGet<About>('/api/about');
  const run = /^\/runs\/([^/]+)$/.exec(path)?.[1];
  const { data } = about;
  return (
    <div className="app" onClick={followLink}>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="topbar">
        <a className="brand" href="/">
          flyd
        </a>
        <nav aria-label="Pages">
          <Link to="/" current={path === '/' || run !== undefined} text="Runs" />
          {exported === null && <Link to="/host" current={path === '/host'} text="Host" />}
          {exported === null && <Link to="/audit" current={path === '/audit'} text="Audit" />}
        </nav>
        <span className="where" title={data?.stateDir}>
          {exported !== null
            ? `exported ${dateTime(exported.exportedAt)}`
            : data === null
              ? ''
              : `${data.hostname} · ${data.stateDir}`}
        </span>
        <ThemeButton />
      </header>
      <main id="main" tabIndex={-1}>
        {run !== undefined ? (
          <RunPage key={run} id={run} />
        ) : path === '/host' ? (
          <HostPage />
        ) : path === '/audit' ? (
          <AuditPage />
        ) : exported !== null && path === '/' ? (
          <RunPage key={exported.root} id={exported.root} />
        ) : (
          <RunsPage />
        )}
      </main>
    </div>
  );
}

function Link({ to, current, text }: { to: string; current: boolean; text: string }) {
  return (
    <a href={to} aria-current={current ? 'page' : undefined}>
      {text}
    </a>
  );
}

/** Links of the dashboard itself change the page without loading it anew. */
function followLink(event: MouseEvent): void {
  const link = (event.target as Element).closest?.('a[href^="/"]');
  if (link === null || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || link.hasAttribute('download')) return;
  event.preventDefault();
  go(link.getAttribute('href') ?? '/');
}

type Theme = 'auto' | 'light' | 'dark';
const themes: readonly Theme[] = ['auto', 'light', 'dark'];

function ThemeButton() {
  const [theme, setTheme] = useState<Theme>(() => (readTheme() ?? 'auto') as Theme);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem('flyd.theme', theme);
    } catch {
      // a file, or a browser that keeps nothing
    }
  }, [theme]);
  const next = themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'auto';
  return (
    <button type="button" className="quiet" onClick={() => setTheme(next)} title={`Colours: ${theme}`}>
      <span aria-hidden="true">{{ auto: '◐', light: '☀', dark: '☾' }[theme]}</span>
      <span className="hidden">
        Colours: {theme}. Change to {next}.
      </span>
    </button>
  );
}

function readTheme(): string | null {
  try {
    return localStorage.getItem('flyd.theme');
  } catch {
    return null;
  }
}
