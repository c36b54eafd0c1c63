import { unrecoverable } from '#core/errors';
import type { RunRow } from '#db/engine/index';
import type { Engine } from './api.ts';
import { keyOf } from './define.ts';
import { toText } from './json.ts';
import { type Past, pastOf, resetPoint } from './past.ts';
import type { RequestParts } from './requests.ts';
import { hasReferences } from './secrets.ts';
import { hiddenStart } from './start.ts';

export interface RequestTools {
  /** What fails may be durable all the same: this process then looks again at what it owns. */
  writing<T>(work: () => T): T;
  /** Takes the run and those below it, where their owners are dead. */
  takeTree(id: string): unknown;
  insertEvent(row: RunRow, event: string, dedupe: string | null): unknown;
}

/** What clients ask of runs that are to go on from somewhere else than where they stand. */
export function createRewinds(
  { token, host, reads, commits, registry, system, own, rowOf }: Omit<RequestParts, 'queues' | 'schedules'>,
  { writing, takeTree, insertEvent }: RequestTools,
): Pick<Engine, 'retry' | 'fork'> {
  return {
    async retry(id, { from } = {}) {
      own();
      const row = rowOf(id);
      const isWoken = row.endedAt === null && from === undefined;
      if (row.endedAt !== null && row.status !== 'failed')
        throw unrecoverable('run_not_active', `the run has ended (${row.status})`, {
          subject: id,
          hint: 'start it anew, or fork it at a commit of its history',
        });
      const event = isWoken ? { type: 'flyd.retry' } : resetEvent(row, from);
      writing(() => {
        if (row.endedAt === null) insertEvent(row, JSON.stringify(event), null);
        else reopen(row, JSON.stringify(event));
        takeTree(id);
        host.look();
      });
    },

    async fork(id, { seq, id: uid = system.newId(), input, key }) {
      own();
      const row = rowOf(id);
      if (reads.runByUid(uid) !== undefined)
        throw unrecoverable('run_conflict', 'another run has this id', { subject: uid });
      const { definition, hash } = knownOf(row);
      const past = pastOf(reads, row, seq, definition);
      refuseWithoutSecrets(row, past);
      const open = {
        uid,
        machine: definition.name,
        version: definition.version,
        definition: hash,
        key: key === undefined ? (input === undefined ? row.key : keyOf(definition, input)) : key,
        input: input === undefined ? row.input : toText(input, 'input'),
        state: '',
        queue: row.queue,
        priority: row.priority,
        startAt: null,
        schedule: null,
        labels: row.labels,
        trace: row.trace,
      };
      const run = input === undefined ? open : hiddenStart(open, definition, () => system.newId());
      const started = writing(() =>
        commits.fork(run, {
          source: row.id,
          origin: JSON.stringify({ run: row.uid, past }),
          from: JSON.stringify({ run: row.uid, seq }),
          owner: token,
          at: system.now(),
        }),
      );
      if ('conflict' in started) throw taken(run.key, started.conflict, 'give the fork another key, or null');
      writing(() => host.adopt(started.id));
      return { id: uid, joined: false };
    },
  };

  function resetEvent(row: RunRow, from: number | undefined) {
    const past = resetPoint(reads, row, from, knownOf(row).definition);
    refuseWithoutSecrets(row, past);
    return { type: 'flyd.reset', seen: row.seq, past };
  }

  /** What a run needs to go on was deleted when it ended, if that was a secret. */
  function refuseWithoutSecrets(row: RunRow, past: Past): void {
    if (row.endedAt !== null && hasReferences(JSON.stringify(past)))
      throw unrecoverable('secret_gone', 'the secrets of the run were deleted when it ended', {
        subject: row.uid,
        hint: 'start it anew, with them',
      });
  }

  function knownOf({ uid, machine }: RunRow) {
    const known = registry.find(machine);
    if (known !== undefined) return known;
    throw unrecoverable('machine_unknown', `'${machine}' was not given to openEngine`, { subject: uid });
  }

  function reopen(row: RunRow, event: string): void {
    const outcome = commits.reopen(row.id, { event, seen: row.seq, owner: token, at: system.now() });
    if (outcome === 'moved')
      throw unrecoverable('reset_refused', 'the run moved on before it could be set back', {
        subject: row.uid,
        hint: 'ask again',
      });
    if (outcome !== 'reopened') throw taken(row.key, outcome.conflict, 'wait for its end, or cancel it');
    host.adopt(row.id);
  }
}

const taken = (key: string | null, run: string, hint: string) =>
  unrecoverable('run_conflict', `run ${run} has the key '${key}' and is live`, { subject: run, hint });
