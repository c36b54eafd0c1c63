import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesText, type Output, oneLine, secondsText, table } from '#cli/output';
import { createProgressModel } from '#cli/progress/model';
import { createRenderer } from '#cli/progress/render';
import type { EngineEvent, RunView } from '#engine/types';

const blank = { id: '', version: 1, key: null, attempts: 0, output: null, error: null, nextAt: null };
const view = (run: Partial<RunView>): EngineEvent => ({
  type: 'run',
  run: {
    ...blank,
    ...{ machine: 'pull', state: '', tags: [], status: 'running', owner: 'me', input: null, parents: [] },
    ...{ queue: null, priority: 0, waitsFor: [], labels: {}, continuedAs: null, forkedFrom: null },
    ...{ createdAt: 0, updatedAt: 0, endedAt: null },
    ...run,
  },
});

const blob = (key: string, run: Partial<RunView>): EngineEvent =>
  view({ machine: 'blob', input: { layer: { key, size: 2048 } }, ...run });

const fetched = (key: string, done: number): EngineEvent => ({
  type: 'progress',
  run: 'r',
  effect: 'blob.fetch',
  src: 'blob.fetch',
  input: { layer: { key } },
  progress: { done, total: 2048, unit: 'bytes' },
});

const unpacked = (layers: readonly [string, number][], done: number): EngineEvent => ({
  type: 'progress',
  run: 'r',
  effect: 'volume.unpack',
  src: 'volume.unpack',
  input: { layers: layers.map(([key, rawSize]) => ({ key, rawSize })) },
  progress: { done, total: null, unit: 'unpacked' },
});

function output(live: boolean, columns = 80): Output & { text(): string } {
  let text = '';
  const put = (more: string): void => {
    text += more;
  };
  return {
    ...{
      json: false,
      live,
      color: live,
      columns: () => columns,
      document: () => {},
      line: () => {},
      array: () => {},
      say: () => {},
      sayAll: () => {},
    },
    note: (line) => put(`${line}\n`),
    raw: put,
    text: () => text,
  };
}

test('a fetch goes from waiting over moving to done, and never back', () => {
  const model = createProgressModel('me');
  model.take(blob('fam/a', { state: 'finding' }));
  const phase = () => model.lines.get('fam/a')?.fetch.phase;
  assert.equal(phase(), 'waiting');
  model.take(fetched('fam/a', 1024));
  assert.equal(phase(), 'moving');
  model.take(blob('fam/a', { status: 'pending' }));
  assert.equal(phase(), 'pending');
  model.take(blob('fam/a', { status: 'done', output: { reused: false } }));
  model.take(blob('fam/a', { status: 'done', output: { reused: true } }));
  assert.equal(phase(), 'done');
});

test('bytes of one volume are spread over its layers, in order', () => {
  const model = createProgressModel('me');
  const layers: [string, number][] = [
    ['a', 100],
    ['b', 50],
    ['c', 10],
  ];
  model.take(unpacked(layers, 120));
  const done = layers.map(([key]) => {
    const half = model.lines.get(key)?.unpack;
    return [half?.phase, half?.done];
  });
  assert.deepEqual(done, [
    ['done', 100],
    ['moving', 20],
    ['waiting', 0],
  ]);
  model.take(unpacked(layers, 160));
  assert.ok(layers.every(([key]) => model.lines.get(key)?.unpack.phase === 'done'));
});

test('plain lines say each thing once', () => {
  const model = createProgressModel('me');
  const out = output(false);
  const renderer = createRenderer(model, out);
  model.take(fetched('fam/a.tar.gz', 1));
  renderer.draw();
  model.take(fetched('fam/a.tar.gz', 2000));
  renderer.draw();
  model.take(blob('fam/b.tar.gz', { owner: 'other', state: 'fetching' }));
  renderer.draw();
  model.take(blob('fam/c\u001b[2J\n.gz', { status: 'done', output: { reused: true } }));
  renderer.finish();
  assert.deepEqual(out.text().trim().split('\n'), [
    'a.tar.gz: fetching (2.0 KiB)',
    'b.tar.gz: another process fetches it; waiting',
    'c [2J .gz: there already (2.0 KiB)',
  ]);
});

test('on a terminal every line fits, and what was drawn is drawn over', () => {
  for (const columns of [40, 80, 120]) {
    const model = createProgressModel('me');
    const out = output(true, columns);
    const renderer = createRenderer(model, out);
    model.take(fetched('fam/a-layer-with-a-rather-long-name.tar.gz', 1024));
    renderer.draw();
    renderer.draw();
    renderer.finish();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escapes are what is looked at
    const plain = out.text().replace(/\u001b\[[0-9]*[A-Z]/g, '');
    for (const line of plain.split('\n')) assert.ok(line.length < columns, `${columns}: ${line}`);
    assert.ok(out.text().includes('\u001b[2A'), 'two lines up, to draw over them');
  }
});

test('trouble is shown while a run goes on, and not when it has ended', () => {
  const model = createProgressModel('me');
  const error = { kind: 'pending', code: 'object_missing', message: 'not there' } as const;
  model.take(view({ status: 'pending', error }));
  assert.equal(model.trouble, 'not there');
  model.take(view({ status: 'failed', error }));
  assert.equal(model.trouble, null);
});

test('numbers as people read them', () => {
  assert.deepEqual([0, 999, 1024, 153_600, 1024 ** 3].map(bytesText), [
    '0 B',
    '999 B',
    '1.0 KiB',
    '150 KiB',
    '1.0 GiB',
  ]);
  assert.deepEqual([0.04, 9.94, 61, 200].map(secondsText), ['0.0 s', '9.9 s', '61 s', '3 min 20 s']);
});

test('names of strangers stay in their cell', () => {
  assert.equal(oneLine('a\u001b[31m\nb\t'), 'a [31m b');
  assert.deepEqual(table(['A', 'B'], [['x\ny', 'z']]), ['A    B', 'x y  z']);
});
