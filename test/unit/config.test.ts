import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FlydError } from '#core/errors';
import { defaultLimits } from '#core/limits';
import { type ResolveOptions, resolveSettings } from '#infra/config';
import { parseBytes, parseCount, parseSwitch, parseTable } from '#infra/config/values';

const folder = mkdtempSync(join(tmpdir(), 'flyd-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const file = (content: unknown): string => {
  const path = join(folder, 'flyd.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
};

const settings = async (given: Partial<ResolveOptions>) =>
  (await resolveSettings({ flags: {}, configFile: undefined, uid: 0, environment: {}, ...given })).settings;

const faultsOf = async (given: Partial<ResolveOptions>): Promise<string> => {
  try {
    await settings(given);
  } catch (error) {
    assert.ok(error instanceof FlydError);
    assert.equal(error.code, 'usage');
    return error.message;
  }
  return assert.fail('nothing was wrong');
};

test('root works in the system folders', async () => {
  const { stateDir, mountRoot, driver, limits } = await settings({});
  assert.deepEqual([stateDir, mountRoot, driver], ['/var/lib/flyd', '/mnt/images', 'auto']);
  assert.deepEqual(limits, defaultLimits);
});

test('others work in their own state folder, and mount inside it', async () => {
  const home = await settings({ uid: 1000 });
  assert.equal(home.stateDir, join(homedir(), '.local/state/flyd'));
  assert.equal(home.mountRoot, join(home.stateDir, 'mnt'));
  const xdg = await settings({ uid: 1000, environment: { XDG_STATE_HOME: '/srv/state' } });
  assert.equal(xdg.stateDir, '/srv/state/flyd');
  const relative = await settings({ uid: 1000, environment: { XDG_STATE_HOME: 'state' } });
  assert.equal(relative.stateDir, join(homedir(), '.local/state/flyd'));
});

test('a flag wins over a variable, a variable over the file, the file over the default', async () => {
  const configFile = file({ region: 'of-file', driver: 'copy', parallel: 2 });
  const environment = { FLYD_REGION: 'of-variable', FLYD_PARALLEL: '3' };
  const resolved = await settings({ configFile, environment, flags: { parallel: '5', driver: undefined } });
  assert.deepEqual([resolved.parallel, resolved.region, resolved.driver], [5, 'of-variable', 'copy']);
  assert.equal(resolved.endpoint, null);
});

test('FLYD_CONFIG names the file where no flag does', async () => {
  const path = file({ region: 'of-file' });
  assert.equal((await settings({ environment: { FLYD_CONFIG: path } })).region, 'of-file');
});

test('texts and values mean the same', async () => {
  const typed = await settings({ configFile: file({ poolSize: 2 * 1024 ** 3, anonymous: true }) });
  const written = await settings({ environment: { FLYD_POOL_SIZE: '2G', FLYD_ANONYMOUS: 'yes' } });
  assert.equal(typed.poolSize, written.poolSize);
  assert.equal(typed.anonymous, written.anonymous);
});

test('limits are set one by one, by name', async () => {
  const { limits } = await settings({ flags: { limits: 'layersMax=3,objectBytesMax=1M' } });
  assert.equal(limits.layersMax, 3);
  assert.equal(limits.objectBytesMax, 1024 ** 2);
  assert.equal(limits.pathDepthMax, defaultLimits.pathDepthMax);
});

test('paths may be relative to where they are typed, but not in a file', async () => {
  assert.equal((await settings({ flags: { stateDir: 'here' } })).stateDir, join(process.cwd(), 'here'));
  assert.match(await faultsOf({ configFile: file({ stateDir: 'here' }) }), /absolute/);
});

test('every fault is told at once, with the place where it was written', async () => {
  const message = await faultsOf({
    configFile: file({ colour: 'green', driver: 'lvm' }),
    environment: { FLYD_PARALLEL: 'many', FLYD_STATE_DRI: '/srv' },
    flags: { limits: 'layers=3,layersMax=none', poolSize: '2 pounds' },
  });
  for (const part of [
    /colour/,
    /driver/,
    /FLYD_PARALLEL.*many/,
    /FLYD_STATE_DRI/,
    /layers is none/,
    /layersMax/,
  ])
    assert.match(message, part);
  assert.match(message, /--pool-size.*2 pounds/);
});

test('a file that is no JSON object is refused', async () => {
  assert.match(await faultsOf({ configFile: file('{') }), /cannot be read/);
  assert.match(await faultsOf({ configFile: file('[]') }), /no JSON object/);
  assert.match(await faultsOf({ configFile: join(folder, 'absent.json') }), /cannot be read/);
});

test('secrets are known to the log and are no settings', async () => {
  const environment = { AWS_SECRET_ACCESS_KEY: 'hush-hush', AWS_REGION: 'elsewhere' };
  const resolved = await resolveSettings({ flags: {}, configFile: undefined, uid: 0, environment });
  assert.deepEqual(resolved.surroundings.secrets, ['hush-hush']);
  assert.equal(JSON.stringify(resolved.settings).includes('hush'), false);
  assert.equal(resolved.settings.region, 'us-east-1', 'AWS_* is for credentials only');
});

test('sizes, counts, switches and tables as people write them', () => {
  assert.equal(parseBytes('512'), 512);
  assert.equal(parseBytes('1.5GiB'), 1.5 * 1024 ** 3);
  assert.equal(parseBytes('64kb'), 65_536);
  for (const wrong of ['', '0', '-1', '1.0001', 'G', '1e3', '9999999T', '1 G B'])
    assert.equal(parseBytes(wrong), undefined, wrong);
  assert.equal(parseCount('12'), 12);
  for (const wrong of ['0', '1.5', '-2', 'x', '']) assert.equal(parseCount(wrong), undefined, wrong);
  assert.deepEqual([parseSwitch('Yes'), parseSwitch('0'), parseSwitch('maybe')], [true, false, undefined]);
  assert.deepEqual(parseTable('a=1, b=2=3'), { a: '1', b: '2=3' });
  assert.equal(parseTable('a'), undefined);
});
