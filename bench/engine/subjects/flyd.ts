import { join } from 'node:path';
import { engineSet } from '#db/engine/index';
import { openDatabase } from '#db/open';
import { defineMachine, effect, openEngine } from '#engine/index';
import { type Order, stepsPerRun, tenSteps } from '../chart.ts';
import type { OpenSubject } from '../subject.ts';

/** flyd's engine as an application would use it: `openEngine` with nothing switched off. */
export const openFlyd: OpenSubject = async ({ folder, clock }) => {
  const orders = defineMachine({
    name: 'orders',
    version: 1,
    machine: tenSteps(effect<Order, string>()),
    actors: {
      step: async ({ input }) => {
        clock.begin(input.name);
        return 'ok';
      },
    },
  });
  const db = openDatabase(join(folder, 'flyd.db'), [engineSet]);
  const engine = openEngine({ db, machines: [orders] });
  return {
    async run(name) {
      const { id } = await engine.start(orders, { input: { name } });
      const { status, output } = await engine.wait(id);
      if (status !== 'done' || output !== stepsPerRun)
        throw new Error(`run ${id} ended as ${status} with ${output}`);
    },
    async close() {
      await engine.close();
      const count = db.prepare('SELECT count(*) FROM transitions').pluck();
      const ended = db.prepare("SELECT count(*) FROM runs WHERE status = 'done'").pluck();
      const transitions = count.get() as number;
      const runs = ended.get() as number;
      db.close();
      return { transitions, runs };
    },
  };
};
