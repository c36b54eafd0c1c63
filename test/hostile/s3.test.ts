import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import type { S3Source as Source } from '#core/source';
import { createS3Source, type S3Options } from '#infra/s3';
import { thrownError } from '#infra/s3/failures';
import { contentsXml, liar, listingXml, tcpLiar, writeForever } from '../support/s3/liar.ts';
import { failsWith, sourceAt } from '../support/s3/served.ts';

const prefix = 'f/';
const objectsFor = (t: TestContext, options: S3Options = {}) => {
  const objects = createS3Source({ idleMs: 5_000, ...options });
  t.after(() => objects.close());
  return objects;
};
const list = (t: TestContext, source: Source, options: S3Options = {}) =>
  objectsFor(t, options).list(source, prefix);
const xml = (response: ServerResponse, inner: string) =>
  void response.writeHead(200, { 'content-type': 'application/xml' }).end(listingXml(inner));
const more = (token: string) =>
  `<IsTruncated>true</IsTruncated><NextContinuationToken>${token}</NextContinuationToken>`;

test('a listing that goes in a circle is noticed at once', async (t) => {
  const { source, requests } = await liar(t, (_request, response) => xml(response, `${more('again')}`));
  await assert.rejects(list(t, source), failsWith('source_protocol', 'unrecoverable'));
  assert.equal(requests.length, 2);
});

test('a listing that goes on without saying from where is refused', async (t) => {
  const { source } = await liar(t, (_request, response) => xml(response, '<IsTruncated>true</IsTruncated>'));
  await assert.rejects(list(t, source), failsWith('source_protocol', 'unrecoverable'));
});

test('the same keys under ever new tokens are refused', async (t) => {
  let page = 0;
  const { source } = await liar(t, (_request, response) =>
    xml(response, contentsXml('f/a') + more(`t${page++}`)),
  );
  await assert.rejects(list(t, source), failsWith('source_protocol', 'unrecoverable'));
});

test('an endless listing ends at the limit of keys, one of empty pages at the limit of pages', async (t) => {
  let page = 0;
  const keys = await liar(t, (_request, response) => {
    const contents = Array.from({ length: 1000 }, (_, n) => contentsXml(`f/${page}-${n}`)).join('');
    xml(response, contents + more(`t${page++}`));
  });
  await assert.rejects(list(t, keys.source), failsWith('limit_exceeded', 'unrecoverable'));
  assert.equal(keys.requests.length, 11);
  const prefixes = await liar(t, (_request, response) =>
    xml(response, '<CommonPrefixes><Prefix>f/x/</Prefix></CommonPrefixes>'.repeat(1000) + more(`t${page++}`)),
  );
  await assert.rejects(list(t, prefixes.source), failsWith('limit_exceeded', 'unrecoverable'));
  const empty = await liar(t, (_request, response) => xml(response, more(`t${page++}`)));
  await assert.rejects(list(t, empty.source), failsWith('limit_exceeded', 'unrecoverable'));
  assert.ok(empty.requests.length <= 1001);
});

test('an endless answer fills no memory', async (t) => {
  const { source } = await liar(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/xml' });
    response.write('<?xml version="1.0"?><ListBucketResult>');
    writeForever(response, contentsXml('f/a').repeat(500));
  });
  const before = process.memoryUsage().rss;
  await assert.rejects(list(t, source), failsWith('source_protocol', 'unrecoverable'));
  assert.ok(process.memoryUsage().rss - before < 200 * 1024 * 1024);
});

test('a listing that is no listing is refused', async (t) => {
  const answers = [
    '<html><body>Sign in to the hotel network</body></html>',
    '<?xml version="1.0"?><ListBucketResult><Contents><Key>f/a',
    'not xml at all',
    '',
    listingXml(contentsXml('f/a')).replace('</ListBucketResult>', ''),
    `<!DOCTYPE x [<!ENTITY a "${'a'.repeat(1000)}"><!ENTITY b "${'&a;'.repeat(1000)}">]><ListBucketResult><Contents><Key>f/&b;</Key></Contents></ListBucketResult>`,
    listingXml('<Contents><Size>1</Size></Contents>'),
    listingXml(contentsXml('elsewhere/a')),
    listingXml(contentsXml(`f/${'k'.repeat(1100)}`)),
    listingXml(contentsXml('f/a', '')),
    listingXml(contentsXml('f/a', '"a&#13;&#10;X-Injected: 1"')),
    listingXml(contentsXml('f/a', `"${'e'.repeat(300)}"`)),
    listingXml(contentsXml('f/a', '"e"', -1)),
    listingXml(contentsXml('f/a', '"e"', 'many')),
    listingXml(contentsXml('f/a', '"e"', 1.5)),
    listingXml('<Contents><Key>f/a</Key><ETag>"e"</ETag></Contents>'),
    listingXml(`<EncodingType>url</EncodingType>${contentsXml('f/%ff')}`),
  ];
  for (const answer of answers) {
    const { source } = await liar(t, (_request, response) => void response.writeHead(200).end(answer));
    await assert.rejects(
      list(t, source),
      failsWith('source_protocol', 'unrecoverable'),
      answer.slice(0, 200),
    );
  }
});

test('what lies deeper than asked for is left out', async (t) => {
  const { source } = await liar(t, (_request, response) =>
    xml(response, contentsXml('f/x/y') + contentsXml('f/a') + contentsXml('f/')),
  );
  assert.deepEqual(
    (await list(t, source)).map(({ key }) => key),
    ['f/a'],
  );
});

test('every refusal has its code, whatever its body looks like', async (t) => {
  const error = (code: string) =>
    `<?xml version="1.0"?><Error><Code>${code}</Code><Message>m</Message></Error>`;
  const cases: [number, string, string, string][] = [
    [500, error('InternalError'), 'source_unavailable', 'recoverable'],
    [502, '<html>bad gateway</html>', 'source_unavailable', 'recoverable'],
    [503, error('SlowDown'), 'source_unavailable', 'recoverable'],
    [503, '', 'source_unavailable', 'recoverable'],
    [429, 'later', 'source_unavailable', 'recoverable'],
    [400, error('RequestTimeout'), 'source_unavailable', 'recoverable'],
    [403, error('AccessDenied'), 'source_denied', 'unrecoverable'],
    [401, '', 'source_denied', 'unrecoverable'],
    [400, error('ExpiredToken'), 'source_denied', 'unrecoverable'],
    [403, error('RequestTimeTooSkewed'), 'source_denied', 'unrecoverable'],
    [404, error('NoSuchBucket'), 'bucket_missing', 'unrecoverable'],
    [404, '<html>not found</html>', 'source_protocol', 'unrecoverable'],
    [400, error('InvalidBucketName'), 'source_invalid', 'unrecoverable'],
    [400, error('SomethingNew'), 'source_protocol', 'unrecoverable'],
    [418, '<Error><Code>', 'source_protocol', 'unrecoverable'],
    [301, '', 'source_protocol', 'unrecoverable'],
  ];
  for (const [status, body, code, kind] of cases) {
    const { source, requests } = await liar(
      t,
      (_request, response) => void response.writeHead(status).end(body),
    );
    await assert.rejects(list(t, source), failsWith(code, kind), `${status} ${body}`);
    assert.equal(requests.length, 1, 'it is the engine that retries');
  }
});

test('an endless or stalled refusal is still that refusal', async (t) => {
  const endless = await liar(t, (_request, response) =>
    writeForever(response.writeHead(500), 'x'.repeat(10_000)),
  );
  await assert.rejects(list(t, endless.source), failsWith('source_unavailable', 'recoverable'));
  const stalled = await liar(t, (_request, response) => void response.writeHead(403).write('<Error>'));
  await assert.rejects(list(t, stalled.source, { idleMs: 200 }), failsWith('source_denied', 'unrecoverable'));
});

test('redirects are not followed, and no signature leaves for where they lead', async (t) => {
  const other = await liar(t, (_request, response) => xml(response, contentsXml('f/evil')));
  for (const status of [301, 302, 303, 307, 308]) {
    const { source } = await liar(t, (_request, response) => {
      response.writeHead(status, { location: `${other.source.endpoint}/bucket?list-type=2` }).end();
    });
    const credentials = { accessKeyId: 'A', secretAccessKey: 'S' };
    await assert.rejects(
      list(t, { ...source, anonymous: false }, { credentials }),
      failsWith('source_protocol', 'unrecoverable'),
    );
    await assert.rejects(objectsFor(t).head(source, 'f/a'), failsWith('source_protocol', 'unrecoverable'));
  }
  assert.equal(other.requests.length, 0);
});

test('a bucket in another region says which', async (t) => {
  const { source } = await liar(t, (_request, response) => {
    response
      .writeHead(301, { 'x-amz-bucket-region': 'eu-west-1' })
      .end('<Error><Code>PermanentRedirect</Code></Error>');
  });
  await assert.rejects(list(t, source), (error: { code?: string; hint?: string }) => {
    assert.deepEqual([error.code, error.hint], ['source_invalid', 'use --region eu-west-1']);
    return true;
  });
  const nasty = await liar(t, (_request, response) => {
    response.writeHead(301, { 'x-amz-bucket-region': 'no-such"region' }).end();
  });
  await assert.rejects(list(t, nasty.source), failsWith('source_protocol'));
});

test('silence ends after the stall timeout, before and in the middle of an answer', async (t) => {
  const silent = await liar(t, () => {});
  await assert.rejects(
    list(t, silent.source, { idleMs: 200 }),
    failsWith('source_unavailable', 'recoverable'),
  );
  const halfway = await liar(
    t,
    (_request, response) => void response.writeHead(200).write('<?xml version="1.0"?>'),
  );
  await assert.rejects(
    list(t, halfway.source, { idleMs: 200 }),
    failsWith('source_unavailable', 'recoverable'),
  );
  const body = await liar(
    t,
    (_request, response) => void response.writeHead(200, { etag: '"e"', 'content-length': 10 }).write('123'),
  );
  const opened = await objectsFor(t, { idleMs: 200 }).openRange(body.source, {
    key: 'k',
    start: 0,
    etag: null,
  });
  await assert.rejects(
    (async () => {
      for await (const _ of opened.body);
    })(),
    failsWith('source_unavailable', 'recoverable'),
  );
});

test('what does not speak HTTP, cuts the line or is not there is told apart', async (t) => {
  const noise = await tcpLiar(t, (socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n'));
  await assert.rejects(list(t, noise), failsWith('source_protocol', 'unrecoverable'));
  const cut = await tcpLiar(t, (socket) => void socket.destroy());
  await assert.rejects(list(t, cut), failsWith('source_unavailable', 'recoverable'));
  const short = await tcpLiar(
    t,
    (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<?xml'),
  );
  await assert.rejects(list(t, short), failsWith('source_unavailable', 'recoverable'));
  const headers = await tcpLiar(
    t,
    (socket) => void socket.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(1_000_000)}`),
  );
  await assert.rejects(list(t, headers), failsWith('source_protocol', 'unrecoverable'));
  const gone = await tcpLiar(t, () => {});
  const { endpoint } = gone;
  await assert.rejects(
    list(t, sourceAt(endpoint?.replace(/:\d+$/, ':1') ?? '')),
    failsWith('source_unavailable', 'recoverable'),
  );
});

test('a HEAD without ETag or size is refused', async (t) => {
  const objects = objectsFor(t);
  const noEtag = await liar(
    t,
    (_request, response) => void response.writeHead(200, { 'content-length': 5 }).end(),
  );
  await assert.rejects(objects.head(noEtag.source, 'k'), failsWith('source_protocol', 'unrecoverable'));
  const noSize = await liar(
    t,
    (_request, response) =>
      void response.writeHead(200, { etag: '"e"', 'transfer-encoding': 'chunked' }).end(),
  );
  await assert.rejects(objects.head(noSize.source, 'k'), failsWith('source_protocol', 'unrecoverable'));
});

test('plain HTTP to another machine, and what is no endpoint, is refused before a byte is sent', async (t) => {
  const objects = objectsFor(t);
  const insecure = [
    'http://s3.example.org',
    'http://192.0.2.1:9000',
    'http://127.0.0.1.example.org',
    'http://[2001:db8::1]',
    'http://127.1.example.org',
    'http://localhost.example.org',
  ];
  for (const endpoint of insecure)
    await assert.rejects(
      objects.list(sourceAt(endpoint), prefix),
      failsWith('source_insecure', 'unrecoverable'),
      endpoint,
    );
  const invalid = [
    'ftp://127.0.0.1',
    'file:///etc/passwd',
    '127.0.0.1:9000',
    '',
    'http://user:pass@127.0.0.1',
    'http://127.0.0.1/path',
    'http://127.0.0.1/?q',
  ];
  for (const endpoint of invalid)
    await assert.rejects(
      objects.list(sourceAt(endpoint), prefix),
      failsWith('source_invalid', 'unrecoverable'),
      endpoint,
    );
  for (const more of [
    { bucket: '' },
    { bucket: '../x' },
    { bucket: 'a/b' },
    { bucket: 'arn:aws:s3:::x' },
    { region: '' },
    { region: 'evil.example.org/' },
  ])
    await assert.rejects(
      objects.list(sourceAt('http://127.0.0.1:1', more), prefix),
      failsWith('source_invalid', 'unrecoverable'),
    );
  const secret = await objects
    .list(sourceAt('http://user:hunter2@127.0.0.1'), prefix)
    .catch((error: unknown) => error);
  assert.doesNotMatch(JSON.stringify([secret, String(secret)]), /hunter2/);
  const { source, requests } = await liar(t, (_request, response) => xml(response, ''));
  assert.deepEqual(
    await objects.list(sourceAt(source.endpoint?.replace('127.0.0.1', 'localhost') ?? ''), prefix),
    [],
  );
  assert.deepEqual(
    requests.map(({ headers }) => headers['accept-encoding']),
    ['identity'],
  );
});

test('an anonymous request carries no credentials, also when there are some', async (t) => {
  const { source, requests } = await liar(t, (_request, response) => xml(response, ''));
  await list(t, source, { credentials: { accessKeyId: 'AKIDSECRET', secretAccessKey: 'S' } });
  assert.equal(requests[0]?.headers.authorization, undefined);
  assert.doesNotMatch(JSON.stringify(requests[0]?.rawHeaders), /AKIDSECRET/);
});

test('errors of certificates and credentials are told from those of the line', () => {
  const request = { source: sourceAt('https://s3.example.org'), key: null };
  const thrown = (more: object) => thrownError(request, Object.assign(new Error('x'), more));
  const cases: [object, string, string][] = [
    [{ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }, 'source_denied', 'unrecoverable'],
    [{ code: 'CERT_HAS_EXPIRED' }, 'source_denied', 'unrecoverable'],
    [{ code: 'ERR_TLS_CERT_ALTNAME_INVALID' }, 'source_denied', 'unrecoverable'],
    [{ code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }, 'source_denied', 'unrecoverable'],
    [{ name: 'CredentialsProviderError' }, 'source_denied', 'unrecoverable'],
    [{ code: 'ENOTFOUND' }, 'source_unavailable', 'recoverable'],
    [{ code: 'ECONNRESET', name: 'TimeoutError' }, 'source_unavailable', 'recoverable'],
    [{ name: 'TypeError' }, 'source_protocol', 'unrecoverable'],
  ];
  for (const [error, code, kind] of cases)
    assert.deepEqual([thrown(error).code, thrown(error).kind], [code, kind]);
  const several = new AggregateError([Object.assign(new Error('x'), { code: 'ECONNREFUSED' })]);
  assert.equal(thrownError(request, several).code, 'source_unavailable');
});
