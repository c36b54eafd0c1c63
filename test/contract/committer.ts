import { engineSet } from '#db/engine/index';
import { openDatabase, write } from '#db/open';

/**
 * Commits one row after the other, as fast as it may, from the word `go` to the word `stop`; then tells how
 * many. usage: committer.ts <database>
 */
const db = openDatabase(process.argv[2] ?? '', [engineSet]);
write(db, () => db.exec('CREATE TABLE IF NOT EXISTS crowd (id INTEGER PRIMARY KEY, text TEXT)'));
const insert = db.prepare('INSERT INTO crowd (text) VALUES (?)');
let commits = 0;
let going = false;

const commit = (): void => {
  if (!going) return;
  write(db, () => insert.run('x'.repeat(1_800)));
  commits += 1;
  setImmediate(commit);
};

process.on('message', (word) => {
  going = word === 'go';
  if (going) commit();
  else process.send?.(commits, () => process.exit(0));
});
process.send?.('ready');
