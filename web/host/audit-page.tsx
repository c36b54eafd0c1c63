import { useEffect } from 'react';
import { dateTime } from '../data/text.ts';
import type { AuditEntry } from '../data/types.ts';
import { useGet, useNow } from '../data/use.ts';
import { Failure } from '../ui/trouble.tsx';

/** Who pressed which button, when, and what came of it. */
export function AuditPage() {
  const tick = useNow(5000);
  const { data, error } = useGet<AuditEntry[]>('/api/audit', tick);
  useEffect(() => {
    document.title = 'Audit · flyd';
  }, []);
  return (
    <div className="page">
      <h1>Audit</h1>
      {error !== null && <Failure error={error} />}
      {data !== null && data.length === 0 && <p className="empty">Nobody has pressed a button yet.</p>}
      {data !== null && data.length > 0 && <AuditTable entries={data} />}
    </div>
  );
}

export function AuditTable({ entries }: { entries: readonly AuditEntry[] }) {
  return (
    <section className="wide" aria-label="Audit log" tabIndex={0}>
      <table className="plain">
        <thead>
          <tr>
            {['When', 'Who', 'What', 'Run', 'With', 'Outcome'].map((head) => (
              <th key={head}>{head}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {entries.map(({ id, at, actor, action, run, detail, outcome }) => (
            <tr key={id}>
              <td>{dateTime(at)}</td>
              <td>{actor}</td>
              <td>{action}</td>
              <td>{run === null ? '' : <a href={`/runs/${run}`}>{run.slice(-8).toLowerCase()}</a>}</td>
              <td>
                <code>{JSON.stringify(detail)}</code>
              </td>
              <td className={outcome === 'ok' ? '' : 'bad'}>{outcome}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
