import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { RegistrySource } from '#core/source';
import { addressKind } from '#infra/net/address';
import { createWire } from '#infra/net/wire';
import { checkTarget } from '#infra/registry/targets';
import { liar, tcpLiar } from '../support/s3/liar.ts';
import { failsWith } from '../support/s3/served.ts';

test('addresses are known for what they are, in whatever form', () => {
  const kinds = {
    public: [
      '1.1.1.1',
      '172.32.0.1',
      '2606:4700::1111',
      '::ffff:1.1.1.1',
      '64:ff9b::101:101',
      '2002:101:101::',
    ],
    internal: [
      ...[
        '127.0.0.1',
        '127.255.255.255',
        '10.0.0.1',
        '172.16.0.1',
        '172.31.255.255',
        '192.168.0.1',
        '100.64.0.1',
      ],
      ...[
        '::1',
        'fc00::1',
        'fdff::1',
        '::ffff:10.0.0.1',
        '::ffff:7f00:1',
        '64:ff9b::10.0.0.1',
        '2002:7f00:1::',
      ],
      ...['::127.0.0.1', 'fec0::1'],
    ],
    metadata: [
      ...['0.0.0.0', '169.254.169.254', '169.254.0.1', '224.0.0.1', '255.255.255.255', '100.100.100.200'],
      ...[
        '::',
        'fe80::1',
        'fe80::1%eth0',
        'ff02::1',
        'fd00:ec2::254',
        '::ffff:169.254.169.254',
        '2002:a9fe:a9fe::',
      ],
      ...['64:ff9b::a9fe:a9fe', 'localhost', ''],
    ],
  };
  for (const [kind, addresses] of Object.entries(kinds))
    for (const address of addresses) assert.equal(addressKind(address), kind, address);
});

/** A wire whose resolver says these addresses, one answer a question; `asked` counts. */
function resolving(t: TestContext, ...answers: string[][]) {
  let asked = 0;
  const wire = createWire({
    connectMs: 2_000,
    stallMs: 500,
    resolve: async () => {
      const addresses = answers[Math.min(asked, answers.length - 1)] ?? [];
      asked++;
      return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    },
  });
  t.after(() => wire.close());
  return { wire, asked: () => asked };
}

const portOf = (source: { endpoint: string | null }): string => new URL(source.endpoint ?? '').port;

test('the address that was judged is the one that is dialled, and a name is resolved once for it', async (t) => {
  const inside = await liar(t, (_request, response) => response.end('inside'));
  const url = new URL(`http://images.example:${portOf(inside.source)}/`);
  // What DNS rebinding does: a harmless answer for who checks, another for who connects.
  const rebinding = resolving(t, ['127.0.0.1'], ['169.254.169.254']);
  const { status, body } = await rebinding.wire.send({ url, headers: {}, named: true });
  body.destroy();
  assert.deepEqual([status, rebinding.asked()], [200, 1]);
  assert.equal(inside.requests[0]?.headers.host, url.host);
  await assert.rejects(
    resolving(t, ['127.0.0.1']).wire.send({ url, headers: {}, named: false }),
    failsWith('source_refused'),
  );
  assert.equal(inside.requests.length, 1);
});

test('of several addresses only those that may be dialled are', async (t) => {
  const inside = await liar(t, (_request, response) => response.end('inside'));
  const url = new URL(`http://images.example:${portOf(inside.source)}/`);
  const { wire } = resolving(t, ['169.254.169.254', '127.0.0.1']);
  (await wire.send({ url, headers: {}, named: true })).body.destroy();
  assert.equal(inside.requests.length, 1);
});

test("metadata is out of reach for a name, also the operator's; its address must be typed", async (t) => {
  const url = new URL('http://registry.example/');
  const { wire } = resolving(t, ['169.254.169.254']);
  await assert.rejects(wire.send({ url, headers: {}, named: true }), failsWith('source_refused'));
});

test('a connection that the operator allowed is not used for a stranger who names the same host', async (t) => {
  const inside = await liar(t, (_request, response) => response.end('inside'));
  const url = new URL(`http://registry.example:${portOf(inside.source)}/`);
  const { wire } = resolving(t, ['127.0.0.1']);
  for await (const _ of (await wire.send({ url, headers: {}, named: true })).body);
  await assert.rejects(wire.send({ url, headers: {}, named: false }), failsWith('source_refused'));
  assert.equal(inside.requests.length, 1);
});

test('a server that takes the connection and says nothing is given up in time', async (t) => {
  const silent = await tcpLiar(t, () => undefined);
  const { wire } = resolving(t, ['127.0.0.1']);
  const url = new URL(silent.endpoint ?? '');
  await assert.rejects(wire.send({ url, headers: {}, named: true }), { name: 'TimeoutError' });
});

test('an abort ends the wait with its own reason', async (t) => {
  const silent = await tcpLiar(t, () => undefined);
  const { wire } = resolving(t, ['127.0.0.1']);
  const stop = new AbortController();
  const reason = new Error('enough');
  const sent = wire.send({
    url: new URL(silent.endpoint ?? ''),
    headers: {},
    named: true,
    signal: stop.signal,
  });
  setImmediate(() => stop.abort(reason));
  await assert.rejects(sent, (thrown) => thrown === reason);
});

test('what an https registry leads to is https, unless plain HTTP was asked for', () => {
  const source: RegistrySource = {
    kind: 'registry',
    endpoint: 'https://registry.example',
    repository: 'app',
    anonymous: false,
    insecure: false,
  };
  const plain = new URL('http://cdn.example/blob');
  assert.throws(() => checkTarget(source, plain, 'place'), failsWith('source_insecure'));
  checkTarget(source, new URL('https://cdn.example/blob'), 'place');
  checkTarget({ ...source, insecure: true }, plain, 'place');
  checkTarget({ ...source, endpoint: 'http://127.0.0.1:5000' }, plain, 'place');
});
