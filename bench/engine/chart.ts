import { assign, type PromiseActorLogic, setup } from 'xstate';

/** What a run of the bench is given: a name, by which its steps are told from others'. */
export interface Order {
  name: string;
}

export const stepsPerRun = 10;

export type Step = PromiseActorLogic<string, Order>;

/**
 * The statechart that flyd and Restate both run: ten states, each of which invokes one effect that does
 * nothing, and each of whose results changes the context. `ended` hears the name of a run that reaches its
 * end, for those who are not told in another way.
 */
export const tenSteps = (step: Step, ended: (name: string) => void = () => {}) =>
  setup({
    types: {
      input: {} as Order,
      context: {} as Order & { done: number; last: string },
      output: {} as number,
    },
    actors: { step },
    actions: {
      count: assign(({ context, event }) => ({
        done: context.done + 1,
        last: `${context.done + 1} was ${(event as unknown as { output: string }).output}`,
      })),
    },
  }).createMachine({
    id: 'ten-steps',
    context: ({ input }) => ({ name: input.name, done: 0, last: 'nothing yet' }),
    initial: 'step1',
    states: {
      step1: { invoke: invoking('step2') },
      step2: { invoke: invoking('step3') },
      step3: { invoke: invoking('step4') },
      step4: { invoke: invoking('step5') },
      step5: { invoke: invoking('step6') },
      step6: { invoke: invoking('step7') },
      step7: { invoke: invoking('step8') },
      step8: { invoke: invoking('step9') },
      step9: { invoke: invoking('step10') },
      step10: { invoke: invoking('over') },
      over: { type: 'final' },
    },
    output: ({ context }) => {
      ended(context.name);
      return context.done;
    },
  });

const invoking = <To extends string>(target: To) => ({
  id: 'step' as const,
  src: 'step' as const,
  input: ({ context }: { context: Order }) => ({ name: context.name }),
  onDone: { target, actions: 'count' as const },
});
