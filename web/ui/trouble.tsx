import type { Json } from '../data/types.ts';

interface ErrorLike {
  code: string;
  kind?: string;
  message: string;
  hint?: string;
  op?: string;
  subject?: string;
  facts?: Record<string, Json>;
  cause?: ErrorLike;
}

/** An error with what caused it, and what to do. */
export function Trouble({ error, title }: { error: ErrorLike; title?: string }) {
  const chain: ErrorLike[] = [];
  for (let each: ErrorLike | undefined = error; each !== undefined && chain.length < 8; each = each.cause)
    chain.push(each);
  return (
    <section className="trouble" aria-label={title ?? 'Error'}>
      {chain.map(({ code, kind, message, op, subject, hint, facts }, depth) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a chain has no other names, and does not change order
        <div key={depth} className="cause">
          <p>
            {depth > 0 && <span className="dim">because: </span>}
            <strong>{message}</strong> <code>{code}</code>{' '}
            {kind !== undefined && <span className="dim">{kind}</span>}
          </p>
          {(op !== undefined || subject !== undefined) && (
            <p className="dim">{[op, subject].filter((part) => part !== undefined).join(' · ')}</p>
          )}
          {hint !== undefined && <p>→ {hint}</p>}
          {facts !== undefined && Object.keys(facts).length > 0 && (
            <pre>{JSON.stringify(facts, null, 1)}</pre>
          )}
        </div>
      ))}
    </section>
  );
}

/** What went wrong with a request of the page itself. */
export function Failure({ error }: { error: Error & { hint?: string | null } }) {
  return (
    <p className="failure" role="alert">
      {error.message}
      {error.hint != null && <span className="dim"> → {error.hint}</span>}
    </p>
  );
}
