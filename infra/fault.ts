import { appendFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { recoverable, unrecoverable } from '#core/errors';

/**
 * Fault drills: what happens when the process ends, stops or fails at a chosen point of its work?
 * The engine calls a probe at every commit and around every effect; `FLYD_FAULT` says where it bites.
 *
 *   FLYD_FAULT=effect:volume.unpack:before:kill      the first time
 *   FLYD_FAULT=effect:blob.fetch:after#3:stop        the third time
 *   FLYD_FAULT=effect:blob.fetch:before:throw,effect:blob.fetch:before#2:kill
 *   FLYD_FAULT=record:/tmp/points                    does nothing but append the name of every point
 */
export type Probe = (point: string) => void;

/** What happens at the point: SIGKILL, SIGSTOP, a failure that is retried, a failure that is final. */
type FaultAction = 'kill' | 'stop' | 'throw' | 'fail';

interface Drill {
  action: FaultAction;
  point: string;
  occurrence: number;
}

const drillPattern =
  /^(?<point>[^#\s]+?)(?:#(?<occurrence>[1-9][0-9]{0,5}))?:(?<action>kill|stop|throw|fail)$/;

/** A process that sent SIGSTOP to itself runs on for some microseconds in its other threads' shadow. */
const stopTakesMs = 20;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** The text of `FLYD_FAULT` as what it asks for. Throws `usage` when it makes no sense. */
export function parseFault(text: string): { record: string } | { drills: Drill[] } {
  const path = text.startsWith('record:') ? text.slice('record:'.length) : null;
  if (path !== null && isAbsolute(path)) return { record: path };
  return { drills: text.split(',').map(parseDrill) };
}

function parseDrill(text: string): Drill {
  const { point, occurrence, action } = drillPattern.exec(text)?.groups ?? {};
  if (point === undefined || action === undefined)
    throw unrecoverable('usage', `FLYD_FAULT makes no sense: ${text}`, {
      subject: 'FLYD_FAULT',
      hint: 'write <point>[#<nth>]:<kill|stop|throw|fail>, or record:<absolute path>',
    });
  return { action: action as FaultAction, point, occurrence: Number(occurrence ?? '1') };
}

/** A probe that does what the text of `FLYD_FAULT` says. Throws `usage` when it makes no sense. */
export function createProbe(text: string): Probe {
  const fault = parseFault(text);
  if ('record' in fault) return (point) => appendFileSync(fault.record, `${point}\n`);
  const seen = new Map<string, number>();
  return (point) => {
    const times = (seen.get(point) ?? 0) + 1;
    seen.set(point, times);
    for (const drill of fault.drills)
      if (drill.point === point && drill.occurrence === times) strike(drill.action, point);
  };
}

function strike(action: FaultAction, point: string): void {
  const details = { subject: point, hint: 'unset FLYD_FAULT' };
  switch (action) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL');
      for (;;) Atomics.wait(sleeper, 0, 0);
    case 'stop':
      process.kill(process.pid, 'SIGSTOP');
      Atomics.wait(sleeper, 0, 0, stopTakesMs);
      return;
    case 'throw':
      throw recoverable('fault_injected', `a fault drill failed ${point}`, details);
    case 'fail':
      throw unrecoverable('fault_injected', `a fault drill failed ${point}`, details);
  }
}
