import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { createProbe, parseFault } from '#infra/fault';

test('a drill names a point, an occurrence and what happens there', () => {
  const first = { action: 'kill', point: 'effect:volume.unpack:before', occurrence: 1 };
  const second = { action: 'stop', point: 'commit:image:3:after', occurrence: 12 };
  assert.deepEqual(parseFault('effect:volume.unpack:before:kill'), { drills: [first] });
  assert.deepEqual(parseFault('effect:volume.unpack:before:kill,commit:image:3:after#12:stop'), {
    drills: [first, second],
  });
  assert.deepEqual(parseFault('record:/tmp/points'), { record: '/tmp/points' });
});

test('a drill that makes no sense is a usage error', () => {
  for (const text of ['', 'kill', 'x#0:kill', 'x:explode', 'record:relative', ':kill', 'a b:kill', 'a:kill,'])
    assert.throws(() => parseFault(text), { code: 'usage', kind: 'unrecoverable' }, text);
});

test('only the chosen occurrence of the chosen point fails', () => {
  const probe = createProbe('effect:blob.fetch:before#2:throw');
  probe('effect:blob.fetch:before');
  probe('effect:blob.fetch:after');
  assert.throws(() => probe('effect:blob.fetch:before'), { code: 'fault_injected', kind: 'recoverable' });
  probe('effect:blob.fetch:before');
  assert.throws(() => createProbe('x:fail')('x'), { code: 'fault_injected', kind: 'unrecoverable' });
});

test('recording appends every point', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-fault-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'points');
  const probe = createProbe(`record:${path}`);
  probe('commit:pull:0:before');
  probe('commit:pull:0:before');
  assert.equal(readFileSync(path, 'utf8'), 'commit:pull:0:before\ncommit:pull:0:before\n');
});

/** A process that prints, passes the point, and prints again. */
function drill(action: string): ReturnType<typeof spawn> {
  const module = fileURLToPath(new URL('../../infra/fault.ts', import.meta.url));
  const script = `
    import { writeSync } from 'node:fs';
    import { createProbe } from ${JSON.stringify(module)};
    const probe = createProbe('here:${action}');
    writeSync(1, 'before ');
    probe('here');
    writeSync(1, 'after');`;
  return spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

test('kill ends the process at the point, and nothing after it happens', async () => {
  const child = drill('kill');
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const [code, signal] = await once(child, 'close');
  assert.deepEqual({ said, code, signal }, { said: 'before ', code: null, signal: 'SIGKILL' });
});

test('stop halts the process at the point until it is continued', async (t) => {
  const child = drill('stop');
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const state = (): string =>
    /^State:\s+(\w)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? '';
  while (state() !== 'T') await new Promise((go) => setTimeout(go, 5));
  await new Promise((go) => setTimeout(go, 100));
  assert.equal(said, 'before ');
  child.kill('SIGCONT');
  await once(child, 'close');
  assert.equal(said, 'before after');
});
