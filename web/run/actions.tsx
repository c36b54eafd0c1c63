import { type ReactNode, useState } from 'react';
import { go } from '../data/address.ts';
import { post } from '../data/api.ts';
import type { AuditEntry, DefinitionDocument, RunDocument } from '../data/types.ts';
import { useGet } from '../data/use.ts';
import { AuditTable } from '../host/audit-page.tsx';
import { Dialog } from '../ui/dialog.tsx';
import { Failure } from '../ui/trouble.tsx';
import { acceptedEvents, type Taken } from './taken.ts';

type Name = 'cancel' | 'kill' | 'retry' | 'resume' | 'send' | 'fork';

const texts: Record<Exclude<Name, 'send'>, string> = {
  cancel: 'Stops the run for good. Its machine takes back what was made.',
  kill: 'Ends the run as it is, at once. Nothing is taken back: what it made stays behind.',
  retry: 'Lets what is parked or pending, in the run and below it, try again.',
  resume: 'Carries the run on in the process of this dashboard, because its own is gone.',
  fork: 'Starts a new run from how this one stood at this step.',
};

/** Buttons that move the run. Each asks first, and is written down in the audit log. */
export function Actions({
  doc,
  definition,
  taken,
  seq,
  live,
}: {
  doc: RunDocument;
  definition: NonNullable<DefinitionDocument>;
  taken: Taken;
  seq: number;
  live: boolean;
}) {
  const [asked, setAsked] = useState<Name | null>(null);
  const [log, setLog] = useState(false);
  const { run } = doc;
  const ended = run.endedAt !== null;
  const button = (name: Name, text: string, off: boolean, title?: string): ReactNode => (
    <button type="button" disabled={off} title={title} onClick={() => setAsked(name)}>
      {text}
    </button>
  );
  return (
    <div className="actions">
      {button('cancel', 'Cancel …', ended)}
      {button('kill', 'Kill …', ended)}
      {button('retry', live ? 'Retry …' : 'Retry from here …', ended && run.status !== 'failed' && live)}
      {button('resume', 'Resume …', ended || run.owner === 'alive', 'For a run whose process is gone')}
      {button('send', 'Send event …', ended)}
      {button('fork', 'Fork from here …', live && ended)}
      <a className="button" href={`/api/runs/${run.id}/export`} download>
        Export
      </a>
      <button type="button" className="quiet" aria-expanded={log} onClick={() => setLog(!log)}>
        Audit
      </button>
      {log && <RunAudit run={run.id} />}
      {asked === 'send' && (
        <SendDialog
          id={run.id}
          events={acceptedEvents(definition.chart, taken.active)}
          onClose={() => setAsked(null)}
        />
      )}
      {asked !== null && asked !== 'send' && (
        <ConfirmDialog
          name={asked}
          doc={doc}
          from={asked === 'fork' || (asked === 'retry' && !live) ? seq : null}
          onClose={() => setAsked(null)}
        />
      )}
    </div>
  );
}

function RunAudit({ run }: { run: string }) {
  const { data } = useGet<AuditEntry[]>(`/api/audit?run=${run}`);
  if (data === null) return null;
  return data.length === 0 ? (
    <p className="dim">Nobody has pressed a button here.</p>
  ) : (
    <AuditTable entries={data} />
  );
}

/** Does what was confirmed, and shows why it could not be done. */
function usePost(id: string, onDone: () => void) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const send = async (body: unknown): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      const { started } = await post<{ started: string | null }>(`/api/runs/${id}/actions`, body);
      onDone();
      if (started !== null) go(`/runs/${started}`);
    } catch (fault) {
      setError(fault as Error);
      setBusy(false);
    }
  };
  return { busy, error, setError, send };
}

function ConfirmDialog({
  name,
  doc,
  from,
  onClose,
}: {
  name: Exclude<Name, 'send'>;
  doc: RunDocument;
  from: number | null;
  onClose(): void;
}) {
  const { run } = doc;
  const [reason, setReason] = useState('');
  const { busy, error, send } = usePost(run.id, onClose);
  const asksWhy = name === 'cancel' || name === 'kill';
  const title = `${name.charAt(0).toUpperCase()}${name.slice(1)} ${run.machine} ${run.about}`;
  return (
    <Dialog title={`${title}?`} onClose={onClose}>
      <p>{texts[name]}</p>
      {from !== null && <p>From step {from}.</p>}
      {asksWhy && (
        <label className="field">
          Reason, kept in the history
          <input
            type="text"
            maxLength={500}
            value={reason}
            onChange={(event) => setReason(event.target.value)}
          />
        </label>
      )}
      {error !== null && <Failure error={error} />}
      <div className="buttons">
        <button type="button" onClick={onClose}>
          Do nothing
        </button>
        <button
          type="button"
          className="primary"
          disabled={busy}
          onClick={() =>
            send({
              action: name,
              ...(asksWhy && reason !== '' ? { reason } : {}),
              ...(from === null ? {} : { seq: from }),
            })
          }
        >
          {title}
        </button>
      </div>
    </Dialog>
  );
}

function SendDialog({ id, events, onClose }: { id: string; events: string[]; onClose(): void }) {
  const [type, setType] = useState(events[0] ?? '');
  const [payload, setPayload] = useState('{}');
  const { busy, error, setError, send } = usePost(id, onClose);
  const submit = (): void => {
    try {
      const fields = JSON.parse(payload) as unknown;
      if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
        throw new Error('the payload is not a JSON object');
      void send({ action: 'send', event: { ...fields, type } });
    } catch (fault) {
      setError(fault as Error);
    }
  };
  return (
    <Dialog title="Send an event" onClose={onClose}>
      <label className="field">
        Event {events.length === 0 && <span className="dim">(no state that is active now names one)</span>}
        <input list="events" value={type} onChange={(event) => setType(event.target.value)} />
        <datalist id="events">
          {events.map((event) => (
            <option key={event} value={event} />
          ))}
        </datalist>
      </label>
      <label className="field">
        Payload, a JSON object
        <textarea
          rows={6}
          spellCheck={false}
          value={payload}
          onChange={(event) => setPayload(event.target.value)}
        />
      </label>
      {error !== null && <Failure error={error} />}
      <div className="buttons">
        <button type="button" onClick={onClose}>
          Do nothing
        </button>
        <button type="button" className="primary" disabled={busy || type === ''} onClick={submit}>
          Send {type}
        </button>
      </div>
    </Dialog>
  );
}
