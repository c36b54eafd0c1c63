// A process that runs one order to its end, for tests that kill it on the way.
// Arguments: folder, and what to do: `run`, `record`, `kill <point> <nth>` or `hold`.

import { appendFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { engineSet } from '#db/engine/index';
import { openDatabase } from '#db/open';
import { defineMachine, openEngine } from '#engine/index';
import { orderMachine } from './order.ts';

const [folder = '', mode = 'run', killPoint = '', nth = '1'] = process.argv.slice(2);
const ledger = (line: string): void => appendFileSync(join(folder, 'ledger'), `${line}\n`);

let met = 0;
function probe(point: string): void {
  if (mode === 'record') appendFileSync(join(folder, 'points'), `${point}\n`);
  if (mode !== 'kill' || point !== killPoint) return;
  met += 1;
  if (met === Number(nth)) process.kill(process.pid, 'SIGKILL');
}

const order = defineMachine({
  name: 'order',
  version: 1,
  machine: orderMachine,
  key: (input) => input.order,
  actors: {
    charge: async ({ effectId }) => {
      ledger(`charge ${effectId.split('/').slice(1).join('/')}`);
      return { charge: 'ch-1' };
    },
    ship: async ({ effectId, signal }) => {
      ledger(`ship ${effectId.split('/').slice(1).join('/')}`);
      if (mode === 'hold')
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      return null;
    },
    refund: async () => null,
  },
});

const db = openDatabase(join(folder, 'engine.db'), [engineSet]);
const engine = openEngine({ db, machines: [order], probe });
const [resumed] = await engine.resume();
const id = resumed ?? (await engine.start(order, { input: { order: 'o-1', amount: 5 } })).id;
writeSync(1, `${id}\n`);
process.on('SIGTERM', () => void engine.close().then(() => process.exit(143)));
const run = await engine.wait(id);
await engine.close();
db.close();
writeSync(1, `${run.status} ${run.state} ${JSON.stringify(run.output)}\n`);
