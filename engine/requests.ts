import { unrecoverable } from '#core/errors';
import type { Commits, Reads, RunRow } from '#db/engine/index';
import type { Engine } from './api.ts';
import { keyOf } from './define.ts';
import type { Host } from './host.ts';
import { toText } from './json.ts';
import type { Registry } from './registry.ts';
import type { System } from './types.ts';

export interface RequestParts {
  token: string;
  host: Host;
  reads: Reads;
  commits: Commits;
  registry: Registry;
  system: System;
  /** Makes this process an owner; throws when the engine is closing. */
  own(): void;
  /** The run of this id; throws `run_not_found`. */
  rowOf(id: string): RunRow;
}

/** What clients ask of runs: each is a row before it is answered. */
export function createRequests({
  token,
  host,
  reads,
  commits,
  registry,
  system,
  own,
  rowOf,
}: RequestParts): Pick<Engine, 'start' | 'resume' | 'send' | 'cancel' | 'retry'> {
  /** A write that fails may be durable all the same: what this process owns is then looked at again. */
  function writing<T>(work: () => T): T {
    try {
      return work();
    } catch (fault) {
      host.doubt();
      throw fault;
    }
  }

  /** Takes the run and those below it, where their owners are dead. */
  function takeTree(id: string): number[] {
    own();
    const rows = reads.subtree(id).flatMap((member) => reads.run(member) ?? []);
    return writing(() => host.takeOver(rows));
  }

  function insertEvent(row: RunRow, event: string, dedupe: string | null): 'accepted' | 'duplicate' {
    const sent = commits.insertEvent(row.id, event, { dedupe, at: system.now() });
    if (sent !== 'ended') return sent;
    const { uid, status } = rowOf(row.uid);
    throw unrecoverable('run_not_active', `the run has ended (${status})`, {
      subject: uid,
      hint: 'start it anew',
    });
  }

  return {
    async start(definition, { input, key, id }) {
      own();
      const known = registry.find(definition.name);
      if (known === undefined)
        throw unrecoverable('machine_unknown', `'${definition.name}' was not given to openEngine`, {
          subject: definition.name,
        });
      if (id !== undefined) {
        const earlier = reads.runByUid(id);
        if (earlier !== undefined) return { id, joined: true };
      }
      const run = {
        uid: id ?? system.newId(),
        machine: definition.name,
        version: definition.version,
        definition: known.hash,
        key: key === undefined ? keyOf(definition, input) : key,
        input: toText(input, 'input'),
        state: '',
        queue: definition.queue,
      };
      return writing(() => {
        const started = commits.insertRun(run, { owner: token, standalone: true, at: system.now() });
        if (started.joined) host.look();
        else host.adopt(started.id);
        return { id: started.uid, joined: started.joined };
      });
    },

    async resume({ id } = {}) {
      own();
      const before = id === undefined ? reads.runs({ live: true }) : [];
      const taken = id === undefined ? writing(() => host.takeOver(before)) : takeTree(id);
      const rows = taken.flatMap((member) => reads.run(member) ?? []);
      const uids = new Set(rows.map(({ uid }) => uid));
      return rows
        .filter(
          (row) =>
            row.uid === id || !reads.parents(row.id).some((parent) => parent.live && uids.has(parent.uid)),
        )
        .map(({ uid }) => uid);
    },

    async send(id, event, { dedupe } = {}) {
      if (/^(xstate|flyd)\./.test(event.type))
        throw unrecoverable('usage', `events named '${event.type}' are the engine's own`, {
          subject: id,
          hint: 'give the event a name of your own',
        });
      const text = toText(event, 'event');
      return writing(() => {
        const sent = insertEvent(rowOf(id), text, dedupe ?? null);
        host.look();
        return sent;
      });
    },

    async cancel(id, { reason } = {}) {
      const row = rowOf(id);
      if (row.endedAt !== null)
        throw unrecoverable('run_not_active', `the run has ended (${row.status})`, { subject: id });
      const cancel = JSON.stringify({ reason: reason ?? 'asked for', at: system.now() });
      writing(() => {
        commits.requestCancel(row.id, cancel);
        takeTree(id);
        host.look();
      });
    },

    async retry(id) {
      writing(() => {
        insertEvent(rowOf(id), JSON.stringify({ type: 'flyd.retry' }), null);
        takeTree(id);
        host.look();
      });
    },
  };
}
