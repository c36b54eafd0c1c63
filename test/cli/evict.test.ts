import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openScene } from './scene.ts';

interface Swept {
  output: { evicted: { family: string }[]; bytesKept: number; volumes: number };
}

test('gc lets unused images go but those that are pinned, active or recent, and their volumes with them', async () => {
  const scene = await openScene();
  try {
    const content = 'x'.repeat(5000);
    for (const family of ['pinned', 'active', 'stale'])
      await scene.putLayers(family, [
        { name: '0.tar.gz', entries: [{ type: 'file', path: 'name', content: `${family} ${content}` }] },
      ]);
    await scene.json(scene.pullArgs('pinned', '--no-activate'));
    const { activation } = await scene.json<{ activation: { id: string } }>(scene.pullArgs('active'));
    await scene.json(scene.pullArgs('stale', '--no-activate'));
    assert.deepEqual(
      await scene.json(['pin', 'pinned']).then((it) => (it as { pinned: boolean }).pinned),
      true,
    );

    const recent = await scene.json<Swept>(['gc', '--max-bytes', '1', '--keep-within', '1h']);
    assert.deepEqual(recent.output.evicted, []);
    const { output } = await scene.json<Swept>(['gc', '--max-bytes', '1']);
    assert.deepEqual(
      output.evicted.map(({ family }) => family),
      ['stale'],
    );
    assert.ok(output.volumes === 1 && output.bytesKept > 12_000, JSON.stringify(output));

    await scene.json(['unpin', 'pinned']);
    await scene.json(['deactivate', activation.id]);
    const last = await scene.flyd(['gc', '--max-bytes', '1']);
    assert.match(
      last.stdout,
      /^evicted img-[0-9a-f]+ {2}pinned\nevicted img-[0-9a-f]+ {2}active\n0 B stay in use\n/,
    );
    assert.deepEqual(await scene.json(['images']), []);
    await scene.json(['doctor', '--verify']);
    const usage = await scene.flyd(['gc', '--keep-within', 'a while']);
    assert.deepEqual([usage.code, /30m, 12h, 7d/.test(usage.stderr)], [2, true], usage.stderr);
  } finally {
    await scene.close();
  }
});
