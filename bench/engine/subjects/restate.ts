import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type Step, stepsPerRun, tenSteps } from '../chart.ts';
import { peerModule } from '../peers.ts';
import type { OpenSubject } from '../subject.ts';

/** What the bench uses of Restate's packages. */
interface RestateSdk {
  endpoint(): Endpoint;
  service(options: {
    name: string;
    handlers: Record<string, (context: Context, name: string) => Promise<number>>;
  }): Service;
}
interface Endpoint {
  setLogger(logger: () => void): Endpoint;
  bind(service: Service): Endpoint;
  http2Handler(): (request: unknown, response: unknown) => void;
}
interface Context {
  run<T>(name: string, step: () => Promise<T>): Promise<T>;
}
type Service = { readonly name: string };
interface RestateXState {
  xstate(name: string, machine: ReturnType<typeof tenSteps>): Service;
}
interface RestatePromises {
  fromPromise(create: (given: { input: { name: string } }) => Promise<string>): Step;
}

/** Where Restate's server takes requests, and orders. */
export interface RestateServer {
  ingress: string;
  admin: string;
}

/** The statechart by `@restatedev/xstate`: each effect, and each result, is an invocation of its own. */
export const openRestateXState: OpenSubject = async ({ clock, server, peers }) => {
  const restate = await peerModule<RestateSdk>(peers, '@restatedev/restate-sdk');
  const { xstate } = await peerModule<RestateXState>(peers, '@restatedev/xstate');
  const { fromPromise } = await peerModule<RestatePromises>(peers, '@restatedev/xstate/promise');
  // To wait by its `waitFor` would cost invocations more, so the machine itself tells, a little early.
  const waiting = new Map<string, () => void>();
  const step = fromPromise(async ({ input }) => {
    clock.begin(input.name);
    return 'ok';
  });
  const machine = tenSteps(step, (name) => waiting.get(name)?.());
  const { ask, close } = await serve(restate, xstate('orders', machine), server);
  return {
    async run(name) {
      const ended = new Promise<void>((done) => waiting.set(name, done));
      await ask(`orders/${name}/create`, { input: { name } });
      await ended;
      waiting.delete(name);
    },
    close,
  };
};

/** The same steps as code, without a statechart: ten `ctx.run` in one handler, the shape that Restate is best at. */
export const openRestateRun: OpenSubject = async ({ clock, server, peers }) => {
  const restate = await peerModule<RestateSdk>(peers, '@restatedev/restate-sdk');
  const service = restate.service({
    name: 'steps',
    handlers: {
      async take(context, name) {
        let done = 0;
        for (let step = 1; step <= stepsPerRun; step++) {
          const result = await context.run(`step${step}`, async () => {
            clock.begin(name);
            return 'ok';
          });
          if (result === 'ok') done += 1;
        }
        return done;
      },
    },
  });
  const { ask, close } = await serve(restate, service, server);
  return {
    async run(name) {
      const done = await ask('steps/take', name);
      if (done !== stepsPerRun) throw new Error(`invocation ${name} did ${String(done)} steps`);
    },
    close,
  };
};

/** Serves the handlers on loopback and tells Restate where; `ask` calls one through Restate. */
async function serve(
  restate: RestateSdk,
  service: Service,
  server: string,
): Promise<{ ask: (path: string, body: unknown) => Promise<unknown>; close: () => Promise<null> }> {
  const { ingress, admin } = JSON.parse(server) as RestateServer;
  const handler = restate
    .endpoint()
    .setLogger(() => {})
    .bind(service)
    .http2Handler();
  const http = createServer(handler).listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { port } = http.address() as AddressInfo;
  async function post(url: string, body: unknown): Promise<unknown> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
    return response.json();
  }
  await post(`${admin}/deployments`, { uri: `http://127.0.0.1:${port}`, force: true });
  return {
    ask: (path, body) => post(`${ingress}/${path}`, body),
    async close() {
      http.close();
      return null;
    },
  };
}
