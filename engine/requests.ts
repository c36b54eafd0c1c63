import { type FlydError, unrecoverable } from '#core/errors';
import type { Commits, QueueSetting, Reads, RunRow, SecretRow } from '#db/engine/index';
import type { Engine } from './api.ts';
import { eventProblems } from './event-schema.ts';
import { hiddenEvent } from './hiding.ts';
import type { Host } from './host.ts';
import { toText } from './json.ts';
import { secretsOf } from './load.ts';
import type { Registry } from './registry.ts';
import { createRewinds } from './rewinds.ts';
import type { RunSecrets } from './secrets.ts';
import { started, toStart } from './start.ts';
import type { System } from './types.ts';

export interface RequestParts {
  token: string;
  host: Host;
  reads: Reads;
  commits: Commits;
  registry: Registry;
  queues: ReadonlyMap<string, QueueSetting>;
  schedules: { wake(): void };
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
  queues,
  schedules,
  system,
  own,
  rowOf,
}: RequestParts): Pick<Engine, 'start' | 'resume' | 'send' | 'cancel' | 'kill' | 'purge' | 'retry' | 'fork'> {
  /** A write that fails may be durable all the same: what this process owns is then looked at again. */
  function writing<T>(work: () => T): T {
    try {
      return work();
    } catch (fault) {
      host.doubt();
      throw fault;
    }
  }

  function liveRow(id: string): RunRow {
    const row = rowOf(id);
    if (row.endedAt !== null) throw hasEnded(row);
    return row;
  }

  function hasEnded({ uid, status, continuedAs }: RunRow): FlydError {
    const next = continuedAs === null ? undefined : reads.run(continuedAs)?.uid;
    return unrecoverable('run_not_active', `the run has ended (${status})`, {
      subject: uid,
      hint: next === undefined ? 'start it anew' : `its work goes on in run ${next}`,
    });
  }

  /** Takes the run and those below it, where their owners are dead. */
  function takeTree(id: string): number[] {
    own();
    const rows = reads.subtree(id).flatMap((member) => reads.run(member) ?? []);
    return writing(() => host.takeOver(rows));
  }

  /** The secrets of a run whose machine this build has. */
  function secretsIn(row: RunRow): RunSecrets | null {
    const definition = registry.find(row.machine)?.definition;
    return definition === undefined ? null : secretsOf(row, definition, reads, () => system.newId());
  }

  function insertEvent(
    row: RunRow,
    event: string,
    dedupe: string | null,
    secrets: readonly SecretRow[] = [],
  ): 'accepted' | 'duplicate' {
    const sent = commits.insertEvent(row.id, event, { dedupe, secrets, at: system.now() });
    if (sent !== 'ended') return sent;
    throw hasEnded(rowOf(row.uid));
  }

  return {
    async start(definition, options) {
      own();
      const { run, wish } = toStart(definition, options, {
        registry,
        queues,
        token,
        now: system.now(),
        newId: () => system.newId(),
      });
      const outcome = await host.start(run, wish);
      const { replaced } = outcome;
      if (replaced !== null) writing(() => takeTree(replaced));
      return started(outcome, run);
    },

    async resume({ id } = {}) {
      own();
      const before = id === undefined ? reads.liveRuns() : [];
      if (id === undefined) schedules.wake();
      const taken = id === undefined ? writing(() => host.takeOver(before)) : takeTree(id);
      const uids = reads.topmost(taken);
      // Also when a parent above it was taken as well: the caller asked for this one.
      return id === undefined || uids.includes(id) || !taken.includes(rowOf(id).id) ? uids : [id, ...uids];
    },

    async send(id, event, { dedupe } = {}) {
      if (/^(xstate|flyd)\./.test(event.type))
        throw unrecoverable('usage', `events named '${event.type}' are the engine's own`, {
          subject: id,
          hint: 'give the event a name of your own',
        });
      const text = toText(event, 'event');
      const row = rowOf(id);
      const problems = await eventProblems(registry.find(row.machine)?.definition, event);
      if (problems.length > 0)
        throw unrecoverable('usage', `the event '${event.type}' does not fit: ${problems.join('; ')}`, {
          subject: id,
          hint: "see the schema in the machine's `events`",
        });
      const secrets = secretsIn(row);
      const hidden = secrets === null ? text : hiddenEvent(text, secrets);
      return writing(() => {
        const sent = insertEvent(row, hidden, dedupe ?? null, secrets?.takeFresh());
        host.look();
        return sent;
      });
    },

    async cancel(id, { reason } = {}) {
      const row = liveRow(id);
      const told = secretsIn(row)?.scrub(reason) ?? reason ?? 'asked for';
      const cancel = JSON.stringify({ reason: told, at: system.now() });
      writing(() => {
        commits.requestCancel(row.id, cancel);
        takeTree(id);
        host.look();
      });
    },

    async kill(id, { reason } = {}) {
      const row = liveRow(id);
      const told = secretsIn(row)?.scrub(reason) ?? reason ?? 'asked for';
      const killed = JSON.stringify({ reason: told, at: system.now() });
      writing(() => {
        commits.requestKill(row.id, killed);
        takeTree(id);
        host.look();
      });
    },

    async purge(id) {
      const purged = writing(() => commits.purge(rowOf(id).id));
      if (purged === 'purged') return;
      throw unrecoverable(
        'run_in_use',
        purged === 'live' ? 'the run has not ended' : `the live run ${purged.linked} has it as its child`,
        { subject: id, hint: 'wait for its end, or cancel or kill it first' },
      );
    },

    ...createRewinds(
      { token, host, reads, commits, registry, system, own, rowOf },
      { writing, takeTree, insertEvent },
    ),
  };
}
