/** The kinds of test, in the order in which they run: the cheapest proof first. */
export interface Kind {
  /** Also the folder under `test/`. */
  name: string;
  /** One line for the person who watches. */
  proves: string;
  /** `commands`: checks of the sources by tools. `tests`: `*.test.ts` files run by node:test. */
  by: 'commands' | 'tests';
  /** Files that run side by side. Kinds that use every core themselves run one after the other. */
  sideBySide: 'cores' | 'one';
  /** Minutes after which the whole kind counts as hung; generous, for a slow machine of 2 cores. */
  minutesMax: number;
}

export const kinds: readonly Kind[] = [
  { name: 'check', proves: 'types and style', by: 'commands', sideBySide: 'one', minutesMax: 4 },
  { name: 'unit', proves: 'rules without a machine', by: 'tests', sideBySide: 'cores', minutesMax: 5 },
  { name: 'engine', proves: 'durable runs', by: 'tests', sideBySide: 'cores', minutesMax: 6 },
  {
    name: 'simulation',
    proves: '10,000 seeds of faults',
    by: 'tests',
    sideBySide: 'one',
    minutesMax: 10,
  },
  { name: 'contract', proves: 'drivers, servers, locks', by: 'tests', sideBySide: 'cores', minutesMax: 8 },
  { name: 'hostile', proves: 'bad layers and bad servers', by: 'tests', sideBySide: 'cores', minutesMax: 10 },
  { name: 'fuzz', proves: 'random input', by: 'tests', sideBySide: 'cores', minutesMax: 10 },
  { name: 'cli', proves: 'the command', by: 'tests', sideBySide: 'cores', minutesMax: 15 },
  { name: 'browser', proves: 'the dashboard in Chromium', by: 'tests', sideBySide: 'one', minutesMax: 8 },
  { name: 'package', proves: 'what npm installs', by: 'tests', sideBySide: 'one', minutesMax: 6 },
  { name: 'cost', proves: 'what work may cost, in counts', by: 'tests', sideBySide: 'one', minutesMax: 6 },
  { name: 'crash', proves: 'kill -9 anywhere', by: 'tests', sideBySide: 'one', minutesMax: 30 },
  { name: 'power', proves: 'power cuts', by: 'tests', sideBySide: 'one', minutesMax: 30 },
  { name: 'real', proves: 'a real Debian image', by: 'tests', sideBySide: 'one', minutesMax: 20 },
  { name: 'vm', proves: 'a real thin pool', by: 'tests', sideBySide: 'one', minutesMax: 60 },
];
