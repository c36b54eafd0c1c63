import { type CommandName, flyd } from '../support/flyd-here.ts';
import type { Said } from './crowd-member.ts';

/** A process in a crowd: runs the commands of flyd that it is sent, one after the other, until it is let go. */
process.on('message', async ([name, ...args]: [CommandName, ...string[]]) => {
  const { code, document, lines } = await flyd(name, args);
  const said: Said = { code, stdout: JSON.stringify(document, null, 2), stderr: lines.join('\n') };
  process.send?.(said);
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
