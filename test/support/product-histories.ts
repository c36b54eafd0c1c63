import { join } from 'node:path';
import { engineSet } from '#db/engine/index';
import { openDatabase } from '#db/open';
import { recordHistories } from '#engine/testing/index';
import { openScene, type Scene, smallFamily } from '../cli/scene.ts';

/** What runs of the product's machines go through, by the real command against the embedded server: JSON lines by machine. */
export async function recordProduct(): Promise<Map<string, string[]>> {
  const scene = await openScene();
  try {
    await live(scene);
    const db = openDatabase(join(scene.stateDir, 'flyd.db'), [engineSet], { readonly: true });
    const lines = new Map<string, string[]>();
    try {
      for (const history of recordHistories(db)) {
        const text = JSON.stringify(history)
          .replaceAll(scene.folder, '/srv/example')
          .replaceAll(scene.endpoint, 'http://127.0.0.1:9000');
        lines.set(history.machine, [...(lines.get(history.machine) ?? []), text]);
      }
    } finally {
      db.close();
    }
    return lines;
  } finally {
    await scene.close();
  }
}

/** Success, failure, retries, cancels and removal: each machine in most of its states. */
async function live(scene: Scene): Promise<void> {
  const [lower, upper] = smallFamily;
  if (lower === undefined || upper === undefined) throw new RangeError('the small family has two layers');
  await scene.putLayers('small', smallFamily);
  await scene.putLayers('other', [lower, { ...upper, entries: [{ type: 'file', path: 'x', content: 'x' }] }]);
  scene.put('broken/0.tar.gz', 'this is no archive');
  const lock = join(scene.folder, 'small.lock.json');
  const { activation } = await scene.json<{ activation: { id: string } }>(
    scene.pullArgs('small', '--lock', lock),
  );
  await scene.flyd(scene.pullArgs('small', '--no-activate'));
  await scene.flyd(scene.pullArgs('broken', '--no-activate'));
  for (const fault of [
    'effect:volume.unpack:before:fail',
    'effect:image.register:before:fail',
    'effect:activation.mount:before:fail',
    'effect:blob.fetch:after:throw',
  ])
    await scene.flyd(scene.pullArgs('other'), { FLYD_FAULT: fault });
  await cancelled(scene);
  await scene.flyd(['deactivate', activation.id]);
  await scene.flyd(['resume', '--all']);
  await scene.flyd(['rm', 'small']);
  await scene.flyd(['rm', 'nothing']);
  await scene.flyd(['gc']);
}

/** A pull that is cancelled while its upper layer is on the way. */
async function cancelled(scene: Scene): Promise<void> {
  await scene.putLayers('slow', [
    { name: '0.tar.gz', entries: [{ type: 'file', path: 'slow', content: 'slow' }] },
  ]);
  scene.hold('slow/0.tar.gz');
  const pulling = scene.run(scene.pullArgs('slow'));
  while (!scene.asked.some((path) => path.includes('slow/0.tar.gz')))
    await new Promise((resolve) => setTimeout(resolve, 20));
  const runs = await scene.json<{ id: string; machine: string }[]>(['runs', '--live']);
  const pull = runs.find(({ machine }) => machine === 'pull');
  if (pull === undefined) throw new RangeError('the pull is not there');
  await scene.flyd(['runs', 'cancel', pull.id]);
  scene.release();
  await pulling.ended;
}
