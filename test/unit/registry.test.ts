import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { toErrorRecord } from '#core/errors';
import { fit, type Platform, parsePlatform, platformOf, platformText } from '#core/platform';
import { createExec } from '#infra/exec';
import { retryAfterMs } from '#infra/net/failures';
import { parseChallenges } from '#infra/registry/challenge';
import { createCredentials } from '#infra/registry/credentials';

test('challenges are read as RFC 9110 writes them', () => {
  assert.deepEqual(parseChallenges('Bearer realm="https://a/b?c=d,e",service=reg , scope="x:y:pull,push"'), [
    { scheme: 'bearer', params: { realm: 'https://a/b?c=d,e', service: 'reg', scope: 'x:y:pull,push' } },
  ]);
  assert.deepEqual(
    parseChallenges('Negotiate, BASIC Realm="a \\"quoted\\" one", Digest qop=auth, nonce="n"'),
    [
      { scheme: 'negotiate', params: {} },
      { scheme: 'basic', params: { realm: 'a "quoted" one' } },
      { scheme: 'digest', params: { qop: 'auth', nonce: 'n' } },
    ],
  );
  for (const nonsense of ['', '=', '"', 'realm="x"', ', ,', '\u0000'])
    assert.deepEqual(parseChallenges(nonsense), []);
  assert.equal(parseChallenges('Bearer realm="unfinished').length, 1);
  assert.ok(parseChallenges('a, '.repeat(10_000)).length <= 16);
});

function fileWith(t: TestContext, content: object | string, name = 'config.json'): string {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-auth-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const host = 'registry.example:5000';
const encoded = (text: string): string => Buffer.from(text).toString('base64');
const ada = { kind: 'password', username: 'ada', password: 'a:b' };

test('credentials are found in the forms that clients write', async (t) => {
  const none = join(tmpdir(), 'flyd-no-such-file');
  const find = (content: object) => createCredentials([none, fileWith(t, content)], createExec())(host);
  for (const name of [host, `https://${host}`, `https://${host}/v1/`, `https://${host}/v2/`])
    assert.deepEqual(await find({ auths: { [name]: { auth: encoded('ada:a:b') } } }), ada, name);
  assert.deepEqual(await find({ auths: { [host]: { username: 'ada', password: 'a:b' } } }), ada);
  assert.deepEqual(await find({ auths: { [host]: { auth: '', identitytoken: 'refresh' } } }), {
    kind: 'identity',
    token: 'refresh',
  });
  assert.equal(
    await find({ auths: { 'registry.example': { auth: encoded('ada:a:b') } } }),
    null,
    'another port',
  );
  assert.equal(await find({ auths: { [host]: {} } }), null);
  assert.equal(await find({}), null);
});

test('a credential file that cannot be used is said, without what is in it', async (t) => {
  const contents = [
    '{"auths": {"x": {"auth": "c2VjcmV0"',
    '[]',
    { auths: { [host]: { auth: encoded('secret') } } },
  ];
  for (const content of contents) {
    const path = fileWith(t, content);
    await assert.rejects(createCredentials([path], createExec())(host), (error) => {
      const record = toErrorRecord(error);
      assert.equal(JSON.stringify(record).includes('c2VjcmV0'), false);
      assert.deepEqual([record.code, record.subject], ['source_denied', path]);
      return record.hint !== undefined;
    });
  }
});

function helper(t: TestContext, script: string): { folder: string } {
  const path = fileWith(t, `#!/bin/sh\n${script}\n`, 'docker-credential-test');
  chmodSync(path, 0o755);
  return { folder: join(path, '..') };
}

test('helpers are asked; one that is missing is named, with what to do', async (t) => {
  const ask = (content: object, script: string) =>
    createCredentials([fileWith(t, content)], createExec({ path: helper(t, script).folder }))(host);
  const answer = `read h; [ "$1 $h" = "get ${host}" ] && echo '{"Username":"ada","Secret":"a:b"}'`;
  assert.deepEqual(await ask({ credHelpers: { [host]: 'test' } }, answer), ada);
  assert.deepEqual(await ask({ credsStore: 'test' }, answer), ada);
  const token = `echo '{"Username":"<token>","Secret":"refresh"}'`;
  assert.deepEqual(await ask({ credsStore: 'test' }, token), { kind: 'identity', token: 'refresh' });
  assert.equal(
    await ask({ credsStore: 'test' }, 'echo credentials not found in native keychain; exit 1'),
    null,
  );
  await assert.rejects(ask({ credsStore: 'test' }, 'echo secret-and-no-json'), (error) => {
    assert.equal(JSON.stringify(toErrorRecord(error)).includes('secret-and'), false);
    return (error as { code: string }).code === 'source_denied';
  });
  await assert.rejects(ask({ credHelpers: { [host]: 'gone' } }, answer), {
    code: 'source_denied',
    message: `the credential file leaves ${host} to docker-credential-gone, which is not installed`,
  });
  await assert.rejects(ask({ credsStore: '../evil' }, answer), { code: 'source_denied' });
});

test('a pause is read as seconds or a date', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  assert.equal(retryAfterMs('7', now), 7000);
  assert.equal(retryAfterMs('Thu, 01 Jan 2026 00:00:09 GMT', now), 9000);
  assert.equal(retryAfterMs('Wed, 31 Dec 2025 00:00:00 GMT', now), 0);
  for (const nonsense of [undefined, '', 'soon', '-']) assert.equal(retryAfterMs(nonsense, now), null);
});

test('platforms are chosen as the index says: the same, else an older one of the same kind', () => {
  const of = (text: string): Platform => parsePlatform(text) ?? { os: '', architecture: '', variant: null };
  assert.equal(platformText(of('linux/x86_64')), 'linux/amd64');
  assert.equal(platformText(of('linux/aarch64/v8')), 'linux/arm64');
  for (const text of ['linux', 'linux/', 'linux/amd64/v1/x', 'Linux/amd64', '/amd64', 'linux/a b'])
    assert.equal(parsePlatform(text), null, text);
  assert.equal(platformText(platformOf('linux', 'x64')), 'linux/amd64');
  const best = (wanted: string, ...offered: string[]): string | undefined =>
    offered
      .filter((each) => fit(of(wanted), of(each)) > 0)
      .sort((a, b) => fit(of(wanted), of(b)) - fit(of(wanted), of(a)))[0];
  assert.equal(best('linux/arm/v7', 'linux/arm/v5', 'linux/arm/v6', 'linux/arm64'), 'linux/arm/v6');
  assert.equal(best('linux/arm/v6', 'linux/arm/v7', 'linux/arm/v5'), 'linux/arm/v5');
  assert.equal(best('linux/arm/v5', 'linux/arm/v6', 'linux/arm/v7'), undefined);
  assert.equal(best('linux/arm64', 'linux/arm64/v8', 'linux/amd64'), 'linux/arm64/v8');
  assert.equal(best('linux/amd64/v3', 'linux/amd64'), 'linux/amd64');
  assert.equal(best('linux/amd64', 'linux/amd64/v3'), undefined, 'what needs more than there is');
  assert.equal(best('linux/amd64', 'unknown/unknown', 'windows/amd64'), undefined);
});
