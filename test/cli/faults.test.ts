import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import {
  type FaultPlan,
  flippingAt,
  refusing,
  repeatingToken,
  resettingAt,
  shortBy,
  stallingAt,
  startFaultProxy,
  trickling,
  withEtag,
} from '../support/faults/proxy.ts';
import { type BuiltLayout, buildLayout, digestOf } from '../support/oci/build.ts';
import { serveRegistry, type TestRegistry } from '../support/oci/registry.ts';
import { tarOf } from '../support/tar.ts';
import { openScene, type Scene } from './scene.ts';
import type { Pull } from './shapes.ts';

/**
 * Storage and network faults, through the command: each ends in success after retries, in `pending`, or in
 * one typed error that names the object and says what to do; and no wrong byte gets a name.
 */
let scene: Scene;
let layout: BuiltLayout;
let registry: TestRegistry;
const content = randomBytes(700_000);
const entries = [{ name: 'big', data: content }];

let closeRegistry = (): void => {};
before(async () => {
  scene = await openScene();
  const stored = gzipSync(tarOf(entries));
  scene.put('family/0.tar.gz', stored);
  scene.put('pinned/0.tar.gz', stored);
  const layers = [{ name: '0.tar.gz', size: stored.length, digest: digestOf(stored) }];
  scene.put('pinned/manifest.json', JSON.stringify({ layers }));
  layout = buildLayout(join(scene.folder, 'layout'));
  layout.tag(layout.image({ layers: [{ entries }] }).descriptor, 'v1');
  registry = await serveRegistry({ after: (close) => (closeRegistry = close) }, layout);
});
after(async () => {
  closeRegistry();
  await scene.close();
});

type Source = 'family' | 'pinned' | 'registry';
const everywhere: readonly Source[] = ['family', 'registry'];
/** Requests for the layer itself. */
const layer = /0\.tar\.gz|\/blobs\/sha256:(?!CONFIG)/;
const mid = 300_000;

interface Case {
  title: string;
  from: readonly Source[];
  plan: (source: Source) => FaultPlan[];
  /** What becomes of the pull: a code of an error, or `done`. */
  end: string | ((source: Source) => string);
  status?: 'failed' | 'parked' | 'pending';
  args?: string[];
  /** What its hint must say. */
  hint?: RegExp;
  /** How many requests the fault must meet; default: any. */
  harmed?: number;
}

const onLayer = (plan: Omit<FaultPlan, 'on'>) => (source: Source) => [{ on: layerOf(source), ...plan }];
const layerOf = (source: Source): RegExp =>
  source === 'registry'
    ? new RegExp(`/blobs/${layout.image({ layers: [{ entries }] }).layers[0]?.descriptor.digest}`)
    : layer;
const listing = /list-type=2|\/manifests\//;

const cases: Case[] = [
  {
    title: '500, twice',
    from: everywhere,
    plan: onLayer({ fault: refusing(500, 'InternalError'), times: 2 }),
    end: 'done',
  },
  {
    title: '503 SlowDown with Retry-After, for the listing and the layer',
    from: everywhere,
    plan: (source) => [
      { on: listing, fault: refusing(503, 'SlowDown', { 'retry-after': '1' }), times: 1 },
      { on: layerOf(source), fault: refusing(503, 'SlowDown', { 'retry-after': '1' }), times: 1 },
    ],
    end: 'done',
  },
  {
    title: '500 for ever, within a budget of two attempts',
    from: everywhere,
    plan: onLayer({ fault: refusing(500) }),
    end: 'source_unavailable',
    status: 'parked',
    args: ['--retries', '2'],
  },
  {
    title: '403 in the middle of a download',
    from: everywhere,
    plan: (source) => [
      { on: layerOf(source), fault: resettingAt(mid), times: 1 },
      { on: layerOf(source), fault: refusing(403, 'AccessDenied') },
    ],
    end: 'source_denied',
    status: 'failed',
    hint: /credentials|public|log in/,
  },
  {
    title: 'a connection that is reset in the middle',
    from: everywhere,
    plan: onLayer({ fault: resettingAt(mid), times: 2 }),
    end: 'done',
  },
  {
    title: 'a body that stalls',
    from: everywhere,
    plan: onLayer({ fault: stallingAt(mid), times: 1 }),
    end: 'done',
    args: ['--timeout', 'stallMs=400'],
  },
  {
    title: 'bodies that stall for ever',
    from: everywhere,
    plan: onLayer({ fault: stallingAt(0) }),
    end: 'source_unavailable',
    status: 'parked',
    args: ['--timeout', 'stallMs=300', '--retries', '2'],
  },
  {
    title: 'a body that trickles',
    from: everywhere,
    plan: onLayer({ fault: trickling, times: 1 }),
    end: 'done',
    args: ['--timeout', 'slowMs=300', '--limit', 'sourceRateMin=1000'],
  },
  {
    title: 'bodies that trickle for ever',
    from: everywhere,
    plan: onLayer({ fault: trickling }),
    end: 'source_unavailable',
    status: 'parked',
    args: ['--timeout', 'slowMs=300', '--limit', 'sourceRateMin=1000', '--retries', '2'],
  },
  {
    title: 'a body that ends early against its Content-Length',
    from: everywhere,
    plan: onLayer({ fault: shortBy(1000, false), times: 1 }),
    end: 'done',
  },
  {
    title: 'a body that is short and says so, once',
    from: everywhere,
    plan: onLayer({ fault: shortBy(1000, true), times: 1 }),
    end: 'done',
  },
  {
    title: 'a body that is short and says so, always',
    from: everywhere,
    plan: onLayer({ fault: shortBy(1000, true) }),
    end: 'object_changed',
    status: 'failed',
  },
  {
    title: 'a flipped bit in what gzip guards',
    from: ['family'],
    plan: onLayer({ fault: flippingAt(mid) }),
    end: 'layer_corrupt',
    status: 'failed',
  },
  {
    title: 'a flipped bit where the digest is known',
    from: ['pinned', 'registry'],
    plan: onLayer({ fault: flippingAt(mid) }),
    end: 'layer_corrupt',
    status: 'failed',
    harmed: 3,
  },
  {
    title: 'a bit that flips on the way, twice',
    from: ['family', 'pinned', 'registry'],
    plan: onLayer({ fault: flippingAt(mid), times: 2 }),
    end: 'done',
  },
  {
    title: 'a bit that flips on the way in what only a digest guards, once',
    from: ['pinned', 'registry'],
    plan: onLayer({ fault: flippingAt(4), times: 1 }),
    end: 'done',
  },
  {
    title: 'a flipped bit in the header of gzip, which nothing but a digest guards',
    from: ['pinned', 'registry'],
    plan: onLayer({ fault: flippingAt(4) }),
    end: 'digest_mismatch',
    status: 'failed',
  },
  {
    title: 'a flipped bit in a manifest',
    from: ['registry'],
    plan: () => [{ on: /\/manifests\//, fault: flippingAt(30) }],
    end: 'digest_mismatch',
    status: 'failed',
  },
  {
    title: 'an ETag that changed since the listing, once',
    from: ['family'],
    plan: onLayer({ fault: withEtag('new'), times: 1 }),
    end: 'done',
  },
  {
    title: 'an ETag that never holds still',
    from: ['family'],
    plan: onLayer({ fault: withEtag('new') }),
    end: 'object_changed',
    status: 'failed',
  },
  {
    title: 'an object that has vanished',
    from: everywhere,
    plan: onLayer({ fault: refusing(404, 'NoSuchKey') }),
    end: 'object_missing',
    status: 'pending',
    args: ['--no-wait'],
  },
  {
    title: 'a listing that repeats its token',
    from: ['family'],
    plan: () => [{ on: listing, fault: repeatingToken }],
    end: 'source_protocol',
    status: 'failed',
  },
  {
    title: 'a clock that is wrong',
    from: ['family'],
    plan: () => [{ on: listing, fault: refusing(403, 'RequestTimeTooSkewed') }],
    end: 'source_denied',
    status: 'failed',
    hint: /clock/,
  },
  {
    title: 'a server that redirects',
    from: ['family'],
    plan: () => [{ on: listing, fault: refusing(307, '', { location: 'http://127.0.0.1:1/' }) }],
    end: 'source_protocol',
    status: 'failed',
  },
];

let count = 0;

async function pullThrough(source: Source, { plan, args = [] }: Case) {
  const stateDir = join(scene.folder, `state-${count++}`);
  mkdirSync(stateDir, { mode: 0o700 });
  const upstream = source === 'registry' ? registry.endpoint : scene.endpoint;
  const proxy = await startFaultProxy(upstream, plan(source));
  const name =
    source === 'registry'
      ? [`${proxy.host}/tools/app:v1`]
      : [source, '--source', 's3://images', '--endpoint', proxy.endpoint];
  const folders = ['--state-dir', stateDir, '--mount-root', `${stateDir}-mnt`];
  try {
    const results = join(stateDir, 'results.json');
    const wishes = ['--anonymous', '--driver', 'copy', '--no-activate', '--results', results];
    const ended = await scene.bare(['pull', ...name, ...wishes, ...args, ...folders]);
    const document = JSON.parse(readFileSync(results, 'utf8')) as Pull;
    return { ended, document, stateDir, harmed: proxy.harmed, asked: proxy.asked };
  } finally {
    await proxy.close();
  }
}

/** Only what is whole has a name in the store. */
function judgeBlobs(stateDir: string): void {
  const folder = join(stateDir, 'blobs', 'sha256');
  for (const hex of existsSync(folder) ? readdirSync(folder) : [])
    assert.equal(
      createHash('sha256')
        .update(readFileSync(join(folder, hex)))
        .digest('hex'),
      hex,
    );
}

for (const each of cases)
  for (const source of each.from)
    test(`${source}: ${each.title}`, async () => {
      const { document, stateDir, harmed, ended, asked } = await pullThrough(source, each);
      const wanted = typeof each.end === 'string' ? each.end : each.end(source);
      assert.ok(harmed > 0, `the fault never happened: ${asked.join('; ')}`);
      assert.equal(harmed, each.harmed ?? harmed, asked.join('; '));
      judgeBlobs(stateDir);
      if (wanted === 'done') {
        assert.equal(document.status, 'done', ended.stderr);
        const [big = ''] = globSync(join(stateDir, 'volumes/copy/*/rootfs/big'));
        assert.deepEqual(readFileSync(big), content);
        return;
      }
      assert.deepEqual([document.error?.code, document.status], [wanted, each.status], ended.stderr);
      assert.deepEqual(globSync(join(stateDir, 'volumes/copy/*')), [], 'a base of wrong bytes');
      assert.ok(document.error?.message && document.error.subject, ended.stderr);
      assert.match(document.error?.hint ?? '', each.hint ?? /./);
      const lines = ended.stderr.split('\n').filter((line) => line.startsWith('flyd: '));
      assert.equal(lines.length, 1, ended.stderr);
      assert.match(ended.stderr, /^hint: ./m);
      assert.doesNotMatch(ended.stderr, /^\s+at /m, 'no stack trace unasked');
    });

test('what came before the cut is not asked for again', async () => {
  const plan = onLayer({ fault: resettingAt(mid), times: 1 });
  const { asked, document } = await pullThrough('registry', { title: '', from: [], plan, end: 'done' });
  assert.equal(document.status, 'done');
  const ranges = asked.filter((line) => line.includes('bytes='));
  assert.equal(ranges.length, 1, asked.join('\n'));
  assert.match(ranges[0] ?? '', /bytes=[1-9]\d*-$/);
});

test('secrets are in no output, no log, no database, no file of the state directory', async () => {
  const marks = {
    key: 'AKIDSECRETMARK',
    secret: 'secret-access-mark-1',
    session: 'session-token-mark-2',
    password: 'registry-pass-mark-3',
  };
  const environment = {
    AWS_ACCESS_KEY_ID: marks.key,
    AWS_SECRET_ACCESS_KEY: marks.secret,
    AWS_SESSION_TOKEN: marks.session,
  };
  const auth = join(scene.folder, 'auth.json');
  const encoded = Buffer.from(`ada:${marks.password}`).toString('base64');
  writeFileSync(auth, JSON.stringify({ auths: { [registry.host]: { auth: encoded } } }));
  registry.intercept((request, response) => {
    if (request.headers.authorization === `Basic ${encoded}`) return false;
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    return true;
  });
  const runs = [
    await scene.flyd(
      ['pull', 'pinned', '--source', 's3://images', '--endpoint', scene.endpoint, '--driver', 'copy', '-vv'],
      environment,
    ),
    await scene.flyd(
      ['pull', `${registry.host}/tools/app:v1`, '--auth-file', auth, '--driver', 'copy', '-vv', '--json'],
      environment,
    ),
    await scene.flyd(
      ['pull', `${registry.host}/tools/app:gone`, '--auth-file', auth, '--driver', 'copy', '-vv'],
      environment,
    ),
  ];
  registry.intercept(() => false);
  assert.deepEqual(
    runs.map(({ code }) => code),
    [0, 0, 1],
    runs.map(({ stderr }) => stderr).join('\n'),
  );
  const kept = readdirSync(scene.stateDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)).toString('latin1'));
  assert.ok(kept.length > 3);
  for (const mark of [...Object.values(marks), encoded])
    for (const text of [...runs.flatMap(({ stdout, stderr }) => [stdout, stderr]), ...kept])
      assert.equal(text.includes(mark), false, mark);
});
