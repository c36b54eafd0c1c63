import { stepsPerRun } from '../chart.ts';
import { peerModule } from '../peers.ts';
import type { OpenSubject } from '../subject.ts';

/** What the bench uses of DBOS Transact. */
interface Dbos {
  DBOS: {
    setConfig(config: {
      name: string;
      systemDatabaseUrl: string;
      systemDatabasePoolSize: number;
      logLevel: string;
    }): void;
    registerWorkflow(work: (name: string) => Promise<number>, options: { name: string }): Work;
    runStep<T>(step: () => Promise<T>, options: { name: string }): Promise<T>;
    launch(): Promise<void>;
    shutdown(): Promise<void>;
    startWorkflow(
      work: Work,
      options: { workflowID: string },
    ): (name: string) => Promise<{ getResult(): Promise<number> }>;
  };
}
type Work = (name: string) => Promise<number>;

/** Postgres serves a hundred connections as shipped; DBOS would take ten. */
const connections = 50;

/** DBOS Transact: the same ten steps as code, since it has no statecharts. Its server is PostgreSQL. */
export const openDbos: OpenSubject = async ({ clock, server, peers }) => {
  const { DBOS } = await peerModule<Dbos>(peers, '@dbos-inc/dbos-sdk');
  DBOS.setConfig({
    name: 'orders',
    systemDatabaseUrl: server,
    systemDatabasePoolSize: connections,
    logLevel: 'error',
  });
  const orders = DBOS.registerWorkflow(
    async (name) => {
      let done = 0;
      for (let step = 1; step <= stepsPerRun; step++) {
        const result = await DBOS.runStep(
          async () => {
            clock.begin(name);
            return 'ok';
          },
          { name: `step${step}` },
        );
        if (result === 'ok') done += 1;
      }
      return done;
    },
    { name: 'orders' },
  );
  await DBOS.launch();
  return {
    async run(name) {
      const handle = await DBOS.startWorkflow(orders, { workflowID: name })(name);
      const done = await handle.getResult();
      if (done !== stepsPerRun) throw new Error(`workflow ${name} did ${done} steps`);
    },
    async close() {
      await DBOS.shutdown();
      return null;
    },
  };
};
