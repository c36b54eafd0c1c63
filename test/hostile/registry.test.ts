import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { toErrorRecord } from '#core/errors';
import { defaultLimits } from '#core/limits';
import type { RegistrySource } from '#core/source';
import { createRegistry } from '#infra/registry';
import type { Credentials } from '#infra/registry/credentials';
import { buildLayout } from '../support/oci/build.ts';
import { refuse, serveRegistry, type TestRegistry } from '../support/oci/registry.ts';
import { liar } from '../support/s3/liar.ts';
import { failsWith, tempFolder } from '../support/s3/served.ts';

/**
 * What a registry may make flyd do with the credentials and the network position that it has: the confused
 * deputy (CVE-2020-15157 and its kin). Every server here is real and on loopback.
 */
const secret: Credentials = { kind: 'password', username: 'ada', password: 'correct horse battery' };
const basic = `Basic ${Buffer.from('ada:correct horse battery').toString('base64')}`;

interface Bench {
  registry: TestRegistry;
  digest: string;
  /** Fetches the one layer. */
  fetch: (allowHosts?: string[]) => Promise<Buffer>;
  tagged: (tag: string) => Promise<unknown>;
  /** How often credentials were looked for. */
  looked: () => number;
}

async function bench(t: TestContext, more: Partial<RegistrySource> = {}): Promise<Bench> {
  const layout = buildLayout(tempFolder(t));
  const image = layout.image({ layers: [{ entries: [{ name: 'a', data: 'a' }] }] });
  layout.tag(image.descriptor, 'v1');
  const registry = await serveRegistry(t, layout);
  const source = { ...registry.source, ...more };
  const digest = image.layers[0]?.descriptor.digest ?? '';
  let looks = 0;
  const credentials = async () => {
    looks++;
    return secret;
  };
  const client = (allowHosts: string[] = []) => {
    const made = createRegistry({ credentials, allowHosts, limits: defaultLimits, stallMs: 5_000 });
    t.after(() => made.close());
    return made;
  };
  return {
    registry,
    digest,
    looked: () => looks,
    async fetch(allowHosts) {
      const { body } = await client(allowHosts).openRange(source, { key: digest, start: 0, etag: null });
      const chunks: Buffer[] = [];
      for await (const chunk of body) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
    tagged: (tag) => client().repository(source).tagged(tag, {}),
  };
}

const redirect = (response: ServerResponse, location: string): true => {
  response.writeHead(307, { location }).end();
  return true;
};
const challenge = (response: ServerResponse, value: string): true => {
  refuse(response, 'UNAUTHORIZED', 401, { 'www-authenticate': value });
  return true;
};
const has = ({ headers }: IncomingMessage, authorization: string): boolean =>
  headers.authorization === authorization;

/** Makes the registry want a token of a server of its own. */
function wantToken({ registry }: Bench, realm: string): void {
  registry.intercept((request, response) => {
    if (has(request, 'Bearer good-token')) return false;
    return challenge(response, `Bearer realm="${realm}",service="reg",scope="repository:tools/app:pull"`);
  });
}

const tokenServer = (t: TestContext, token = 'good-token') =>
  liar(t, (_request, response) => response.end(JSON.stringify({ token, expires_in: 300 })));
const hostOf = (source: { endpoint: string | null }): string => new URL(source.endpoint ?? '').host;

test('a token is asked for with scope and credentials, once, and only when the registry asks', async (t) => {
  const open = await bench(t);
  await open.fetch();
  assert.equal(open.looked(), 0, 'a public image needs nobody to log in');
  const world = await bench(t);
  const tokens = await tokenServer(t);
  wantToken(world, `${tokens.source.endpoint}/token`);
  await world.fetch([hostOf(tokens.source)]);
  const [asked] = tokens.requests;
  assert.equal(tokens.requests.length, 1);
  assert.equal(asked?.headers.authorization, basic);
  assert.equal(asked?.url, '/token?service=reg&scope=repository%3Atools%2Fapp%3Apull');
  const sent = world.registry.requests.map(({ headers }) => headers.authorization ?? null);
  assert.deepEqual(sent, [null, 'Bearer good-token']);
});

test('Basic goes to the registry that asked for it', async (t) => {
  const world = await bench(t);
  world.registry.intercept(
    (request, response) => !has(request, basic) && challenge(response, 'Basic realm="x"'),
  );
  assert.ok((await world.fetch()).length > 0);
});

test('an anonymous source never looks for credentials', async (t) => {
  const world = await bench(t, { anonymous: true });
  const tokens = await tokenServer(t);
  wantToken(world, `${tokens.source.endpoint}/token`);
  await assert.rejects(world.fetch(), failsWith('source_refused'), 'not allowed to that host');
  await world.fetch([hostOf(tokens.source)]);
  assert.deepEqual([world.looked(), tokens.requests[0]?.headers.authorization], [0, undefined]);
});

test('Authorization stays with scheme, host and port: a redirect that leaves them goes without it, also back again', async (t) => {
  const world = await bench(t);
  const back = (request: IncomingMessage): boolean => request.url?.includes('back') === true;
  const store = await liar(t, (_request, response) => redirect(response, `${world.registry.endpoint}/back`));
  world.registry.intercept((request, response) => {
    if (back(request)) {
      response.end('x');
      return true;
    }
    if (!has(request, basic)) return challenge(response, 'Basic realm="x"');
    return redirect(response, `${store.source.endpoint}/blob?signature=1`);
  });
  await world.fetch([hostOf(store.source)]);
  assert.equal(store.requests[0]?.headers.authorization, undefined);
  assert.equal(world.registry.requests.find(back)?.headers.authorization, undefined);
});

test('a redirect within the registry keeps Authorization and range', async (t) => {
  const world = await bench(t);
  world.registry.intercept((request, response) => {
    if (!has(request, basic)) return challenge(response, 'Basic realm="x"');
    return !request.url?.includes('moved') && redirect(response, `${request.url}?moved=1`);
  });
  assert.ok((await world.fetch()).length > 0);
  assert.equal(world.registry.requests.at(-1)?.headers.authorization, basic);
});

test('a challenge of a place that was redirected to is not answered', async (t) => {
  const world = await bench(t);
  const store = await liar(t, (_request, response) => challenge(response, 'Basic realm="mine"'));
  world.registry.intercept((_request, response) => redirect(response, `${store.source.endpoint}/blob`));
  await assert.rejects(world.fetch([hostOf(store.source)]), failsWith('source_denied'));
  assert.deepEqual([store.requests.length, world.looked()], [1, 0]);
});

test('answers lead to public addresses only, unless the operator named the host', async (t) => {
  const inside = await liar(t, (_request, response) => response.end('the secret of a service inside'));
  const port = new URL(inside.source.endpoint ?? '').port;
  const places = [
    `http://127.0.0.1:${port}/`,
    `http://localhost:${port}/`,
    `http://0x7f000001:${port}/`,
    `http://2130706433:${port}/`,
    `http://127.1:${port}/`,
    `http://[::1]:${port}/`,
    `http://[::ffff:127.0.0.1]:${port}/`,
    `http://[64:ff9b::7f00:1]:${port}/`,
    'http://169.254.169.254/latest/meta-data/',
    'http://10.0.0.1/',
    'http://192.168.1.1/',
    'http://[fe80::1]/',
    'http://[fd00:ec2::254]/',
    'http://0.0.0.0/',
  ];
  for (const place of places) {
    const world = await bench(t);
    world.registry.intercept((_request, response) => redirect(response, place));
    await assert.rejects(world.fetch(), failsWith('source_refused', 'unrecoverable'), `redirect to ${place}`);
    wantToken(world, place);
    await assert.rejects(world.fetch(), failsWith('source_refused', 'unrecoverable'), `realm ${place}`);
  }
  assert.deepEqual(inside.requests, []);
});

test('a target that is no web address, or holds credentials, is refused', async (t) => {
  for (const [place, code] of [
    ['file:///etc/shadow', 'source_insecure'],
    ['ftp://127.0.0.1/', 'source_insecure'],
    ['http://ada:horse@127.0.0.1/', 'source_refused'],
    ['http://', 'source_protocol'],
  ] as const) {
    const world = await bench(t);
    world.registry.intercept((_request, response) => redirect(response, place));
    await assert.rejects(world.fetch(), failsWith(code), place);
  }
});

test('redirects end', async (t) => {
  const world = await bench(t);
  world.registry.intercept((request, response) => redirect(response, `${request.url}x`));
  await assert.rejects(world.fetch(), failsWith('source_protocol'));
  assert.equal(world.registry.requests.length, 6);
});

test('a token server redirects nobody, and gives tokens that are one header', async (t) => {
  const other = await tokenServer(t);
  const moved = await liar(t, (_request, response) => redirect(response, `${other.source.endpoint}/token`));
  const world = await bench(t);
  wantToken(world, `${moved.source.endpoint}/token`);
  await assert.rejects(
    world.fetch([hostOf(moved.source), hostOf(other.source)]),
    failsWith('source_protocol'),
  );
  assert.deepEqual(other.requests, [], 'the credentials would have gone there');
  for (const token of ['a\r\nX-Evil: 1', '', 'ä', 'a b']) {
    const odd = await tokenServer(t, token);
    wantToken(world, `${odd.source.endpoint}/token`);
    await assert.rejects(
      world.fetch([hostOf(odd.source)]),
      failsWith('source_protocol'),
      JSON.stringify(token),
    );
  }
});

test('the link to the next page of tags stays at the registry, path and all', async (t) => {
  const other = await liar(t, (_request, response) => response.end('{"tags":["evil"]}'));
  for (const link of [
    `<${other.source.endpoint}/v2/>; rel="next"`,
    `<//${hostOf(other.source)}/v2/>; rel="next"`,
    '<ftp://127.0.0.1/>; rel="next"',
  ]) {
    const world = await bench(t);
    world.registry.intercept((request, response) => {
      if (!request.url?.includes('/tags/list')) return false;
      response.writeHead(200, { link }).end('{"tags":["v1"]}');
      return true;
    });
    await assert.rejects(world.tagged('gone'), failsWith('reference_not_found'), link);
  }
  const world = await bench(t);
  world.registry.intercept((request, response) => {
    if (!request.url?.includes('/tags/list') || request.url.includes('evil')) return false;
    response.writeHead(200, {
      link: `<${world.registry.endpoint}//${hostOf(other.source)}/evil>; rel="next"`,
    });
    response.end('{"tags":["v1"]}');
    return true;
  });
  await assert.rejects(world.tagged('gone'), failsWith('reference_not_found'));
  assert.deepEqual(other.requests, [], 'a path with two slashes is a path');
});

test('urls in descriptors are never asked', async (t) => {
  const foreign = await liar(t, (_request, response) => response.end('layer'));
  const layout = buildLayout(tempFolder(t));
  const urls = [`${foreign.source.endpoint}/layer`];
  const image = layout.image({ layers: [{ entries: [{ name: 'a' }], urls }] });
  layout.tag(image.descriptor, 'v1');
  const registry = await serveRegistry(t, layout);
  const digest = image.layers[0]?.descriptor.digest ?? '';
  registry.intercept((request, response) => {
    const missing = request.url?.includes(digest) === true;
    if (missing) refuse(response, 'BLOB_UNKNOWN');
    return missing;
  });
  const client = createRegistry({ credentials: async () => null, limits: defaultLimits });
  t.after(() => client.close());
  const wanted = { key: digest, start: 0, etag: null };
  await assert.rejects(client.openRange(registry.source, wanted), failsWith('object_missing', 'pending'));
  assert.deepEqual(foreign.requests, []);
});

test('no error tells a secret', async (t) => {
  const thrown: unknown[] = [];
  const world = await bench(t);
  const keep = (error: unknown) => void thrown.push(error);
  const echo = await liar(t, (request, response) =>
    response.writeHead(400).end(`{"errors":[{"code":"BAD","message":"${request.headers.authorization}"}]}`),
  );
  wantToken(world, `${echo.source.endpoint}/token`);
  await world.fetch([hostOf(echo.source)]).catch(keep);
  const odd = await liar(t, (_request, response) => response.end('{"token":"good-token'));
  wantToken(world, `${odd.source.endpoint}/token`);
  await world.fetch([hostOf(odd.source)]).catch(keep);
  world.registry.intercept((request, response) => {
    if (!has(request, basic)) return challenge(response, 'Basic realm="x"');
    refuse(response, `DENIED`, 403);
    return true;
  });
  await world.fetch().catch(keep);
  assert.equal(thrown.length, 3);
  for (const error of thrown) {
    const told = JSON.stringify(toErrorRecord(error)) + String((error as Error).stack);
    for (const word of ['correct horse', basic.slice(6), 'good-token'])
      assert.equal(told.includes(word), false, told);
  }
});
