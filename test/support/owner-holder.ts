import { spawn } from 'node:child_process';
import { createOwnerLocks } from '#infra/owner-locks';

// A process that holds an owner lock: <folder> <token>. On its stdin: `release` lets go, `command`
// starts a command that inherits the lock.
const [folder = '', token = ''] = process.argv.slice(2);
const locks = createOwnerLocks({ folder });
const lock = locks.hold(token);

process.stdin.on('data', (data) => {
  if (data.includes('release')) {
    lock.release();
    process.stdout.write('released\n');
  }
  if (data.includes('command')) {
    const command = spawn('sleep', ['600'], { stdio: ['ignore', 'ignore', 'ignore', locks.fd] });
    process.stdout.write(`command ${command.pid}\n`);
  }
});
process.stdout.write('held\n');
