import { initialTransition, type PromiseActorLogic, type SnapshotFrom, transition } from 'xstate';
import { effect } from '#engine/index';
import { type Order, stepsPerRun, tenSteps } from '../chart.ts';

/** How a run of the step table stands, and what is stored of it. */
export interface Standing {
  state: string;
  text: string;
  isOver: boolean;
}

/** What moves the runs of the step table: pure, from one standing to the next. */
export interface Program<S extends Standing> {
  begin(name: string): S;
  next(standing: S, result: string): S;
}

/** Ten steps in a row, as one would write them without a statechart. */
export const byHand: Program<Standing & { name: string; done: number }> = {
  begin: (name) => standing(name, 0, 'nothing yet'),
  next: ({ name, done }, result) => standing(name, done + 1, `${done + 1} was ${result}`),
};

const standing = (name: string, done: number, last: string): Standing & { name: string; done: number } => ({
  ...{ name, done, isOver: done === stepsPerRun },
  state: done === stepsPerRun ? 'over' : `step${done + 1}`,
  text: JSON.stringify({ name, done, last }),
});

const machine = tenSteps(effect<Order, string>() as PromiseActorLogic<string, Order>);
type Snapshot = SnapshotFrom<typeof machine>;

/** The statechart that flyd runs, by XState's pure transitions; its persisted snapshot is what is stored. */
export const byXState: Program<Standing & { snapshot: Snapshot }> = {
  begin: (name) => standingOf(initialTransition(machine, { name })[0]),
  next({ snapshot }, output) {
    const event = { type: 'xstate.done.actor.step', output, actorId: 'step' };
    return standingOf(transition(machine, snapshot, event)[0]);
  },
};

const standingOf = (snapshot: Snapshot): Standing & { snapshot: Snapshot } => ({
  snapshot,
  state: snapshot.value,
  text: JSON.stringify(machine.getPersistedSnapshot(snapshot)),
  isOver: snapshot.status !== 'active',
});
