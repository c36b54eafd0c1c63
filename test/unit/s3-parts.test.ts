import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { type ChecksumName, createChecksum } from '#infra/s3-server/checksums';
import { awsChunks } from '#infra/s3-server/chunked';
import {
  checkReadConditions,
  checkWriteConditions,
  rangeStillHolds,
  readRange,
} from '#infra/s3-server/conditions';
import { S3Error } from '#infra/s3-server/errors';
import { readRequest } from '#infra/s3-server/request';
import { type Signed, verifySignature } from '#infra/s3-server/sigv4';
import { parseXml, XmlSyntaxError, xmlDocument } from '#infra/s3-server/xml';

/** A request as node:http gives it, as far as it is looked at. */
function request(method: string, url: string, headers: Record<string, string>) {
  const headersDistinct = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]));
  return readRequest({ method, url, headers, headersDistinct } as unknown as IncomingMessage, () => {});
}
const refuses = (run: () => unknown, code: string) =>
  assert.throws(run, (error) => error instanceof S3Error && error.code === code);

test('checksums give the check values of their catalogues', () => {
  const expected: Record<ChecksumName, string> = {
    crc32: 'cbf43926',
    crc32c: 'e3069283',
    crc64nvme: 'ae8b14860a799888',
    sha1: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
    sha256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
  };
  for (const [name, hex] of Object.entries(expected)) {
    const checksum = createChecksum(name as ChecksumName);
    for (const part of ['1234', '', '56789']) checksum.update(Buffer.from(part));
    assert.equal(Buffer.from(checksum.digest(), 'base64').toString('hex'), hex, name);
  }
});

// The examples of the Amazon S3 API reference, with its keys that belong to nobody.
const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const exampleMs = Date.parse('2013-05-24T00:00:00Z');
const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const exampleGet = {
  host: 'examplebucket.s3.amazonaws.com',
  range: 'bytes=0-9',
  'x-amz-content-sha256': emptyHash,
  'x-amz-date': '20130524T000000Z',
  authorization:
    'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
};

test('the signature of the documented GET is good, and of nothing else', () => {
  const check = (method: string, url: string, changed: Record<string, string> = {}, nowMs = exampleMs) =>
    verifySignature(request(method, url, { ...exampleGet, ...changed }), credentials, nowMs);
  check('GET', '/test.txt');
  check('GET', '/test.txt', { 'accept-encoding': 'identity' });
  check('GET', '/test.txt', {}, exampleMs + 14 * 60_000);
  refuses(() => check('HEAD', '/test.txt'), 'SignatureDoesNotMatch');
  refuses(() => check('GET', '/test2.txt'), 'SignatureDoesNotMatch');
  refuses(() => check('GET', '/test.txt?versionId=1'), 'SignatureDoesNotMatch');
  refuses(() => check('GET', '/test.txt', { range: 'bytes=0-99' }), 'SignatureDoesNotMatch');
  refuses(() => check('GET', '/test.txt', { host: 'other' }), 'SignatureDoesNotMatch');
  refuses(() => check('GET', '/test.txt', { 'x-amz-meta-a': '1' }), 'AccessDenied');
  refuses(() => check('GET', '/test.txt', { 'x-amz-date': '20130524T000001Z' }), 'SignatureDoesNotMatch');
  refuses(() => check('GET', '/test.txt', {}, exampleMs + 16 * 60_000), 'RequestTimeTooSkewed');
  refuses(() => check('GET', '/test.txt', {}, exampleMs - 16 * 60_000), 'RequestTimeTooSkewed');
  refuses(() => check('GET', '/test.txt', { 'x-amz-date': 'yesterday' }), 'AccessDenied');
  const authorization = (from: string | RegExp, to: string) => ({
    authorization: exampleGet.authorization.replace(from, to),
  });
  refuses(() => check('GET', '/test.txt', authorization('host;', '')), 'AccessDenied');
  refuses(
    () => check('GET', '/test.txt', authorization('AKIAIOSFODNN7EXAMPLE', 'SOMEBODY')),
    'InvalidAccessKeyId',
  );
  refuses(() => check('GET', '/test.txt', authorization('us-east-1', 'eu-west-1')), 'SignatureDoesNotMatch');
  refuses(() => check('GET', '/test.txt', authorization('/s3/', '/ec2/')), 'AuthorizationHeaderMalformed');
  refuses(
    () => check('GET', '/test.txt', authorization(/Signature=.*/, 'Signature=')),
    'AuthorizationHeaderMalformed',
  );
  refuses(
    () => check('GET', '/test.txt', authorization(/^AWS4.*/, 'AWS a:b')),
    'AuthorizationHeaderMalformed',
  );
});

test('the documented upload in signed chunks is good; a chunk that is changed, moved or missing is not', async () => {
  const put = request('PUT', '/examplebucket/chunkObject.txt', {
    host: 's3.amazonaws.com',
    'content-encoding': 'aws-chunked',
    'content-length': '66824',
    'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    'x-amz-date': '20130524T000000Z',
    'x-amz-decoded-content-length': '66560',
    'x-amz-storage-class': 'REDUCED_REDUNDANCY',
    authorization:
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
  });
  const signed = verifySignature(put, credentials, exampleMs);
  const chunk = (size: number, signature: string) =>
    `${size.toString(16)};chunk-signature=${signature}\r\n${'a'.repeat(size)}\r\n`;
  const first = chunk(65536, 'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648');
  const second = chunk(1024, '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497');
  const last = chunk(0, 'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9');
  assert.equal((await decode(first + second + last, signed)).length, 66560);
  for (const bad of [
    first + last,
    second + last,
    first + second.replace('aaa', 'aab') + last,
    second + first + last,
  ])
    await assert.rejects(
      decode(bad, signed),
      (error) => error instanceof S3Error && error.code === 'SignatureDoesNotMatch',
    );
  for (const cut of [first, first + second, (first + second + last).slice(0, -30), `${first}x`])
    await assert.rejects(decode(cut, signed), (error) => error instanceof S3Error);
});

/** The content of an aws-chunked body that arrives in pieces of seven bytes. */
async function decode(
  body: string,
  signed: Signed | null,
  trailers = new Map<string, string>(),
): Promise<string> {
  const bytes = Buffer.from(body);
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 7) pieces.push(bytes.subarray(at, at + 7));
  const options = { signed, signedChunks: signed !== null, trailers };
  let text = '';
  for await (const piece of awsChunks(Readable.from(pieces), options)) text += piece.toString('latin1');
  return text;
}

test('unsigned chunks come with trailers', async () => {
  const trailers = new Map<string, string>();
  assert.equal(
    await decode('3\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Amz-Checksum-CRC32: AAAA\r\n\r\n', null, trailers),
    'abc0123456789',
  );
  assert.deepEqual([...trailers], [['x-amz-checksum-crc32', 'AAAA']]);
  for (const bad of [
    '3\r\nabcd\r\n0\r\n\r\n',
    'x\r\n',
    '3\r\nab',
    '-1\r\n',
    '0\r\nno colon\r\n\r\n',
    'f'.repeat(20_000),
  ])
    await assert.rejects(
      decode(bad, null),
      (error) => error instanceof S3Error && error.code === 'IncompleteBody',
    );
});

test('ranges are those of RFC 9110', () => {
  const cases: [string | undefined, [number, number] | null][] = [
    [undefined, null],
    ['bytes=0-', [0, 9]],
    ['bytes=3-', [3, 9]],
    ['bytes=3-5', [3, 5]],
    ['bytes=3-3', [3, 3]],
    ['bytes=3-99', [3, 9]],
    ['bytes=-4', [6, 9]],
    ['bytes=-99', [0, 9]],
    ['bytes=5-3', null],
    ['bytes=-', null],
    ['bytes=0-1,4-5', null],
    ['lines=0-1', null],
    ['bytes=a-b', null],
  ];
  for (const [header, expected] of cases) {
    const range = readRange(header, 10);
    assert.deepEqual(range === null ? null : [range.start, range.end], expected, header);
  }
  for (const header of ['bytes=10-', 'bytes=10-20', 'bytes=-0'])
    refuses(() => readRange(header, 10), 'InvalidRange');
  refuses(() => readRange('bytes=0-', 0), 'InvalidRange');
});

test('conditions of reads come in the order of RFC 9110 13.2.2', () => {
  const version = { etag: 'abc', modifiedMs: Date.parse('2026-01-02T00:00:00.500Z') };
  const [older, same, newer] = [
    'Thu, 01 Jan 2026 00:00:00 GMT',
    'Fri, 02 Jan 2026 00:00:00 GMT',
    'Sat, 03 Jan 2026 00:00:00 GMT',
  ];
  const cases: [Record<string, string>, string | null][] = [
    [{}, null],
    [{ 'if-match': '"abc"' }, null],
    [{ 'if-match': 'abc' }, null],
    [{ 'if-match': '*' }, null],
    [{ 'if-match': '"x", "abc"' }, null],
    [{ 'if-match': '"x"' }, 'PreconditionFailed'],
    [{ 'if-unmodified-since': older }, 'PreconditionFailed'],
    [{ 'if-unmodified-since': same }, null],
    [{ 'if-unmodified-since': newer }, null],
    [{ 'if-match': '"abc"', 'if-unmodified-since': older }, null],
    [{ 'if-none-match': '"abc"' }, 'NotModified'],
    [{ 'if-none-match': '"x"' }, null],
    [{ 'if-modified-since': older }, null],
    [{ 'if-modified-since': same }, 'NotModified'],
    [{ 'if-none-match': '"x"', 'if-modified-since': newer }, null],
    [{ 'if-match': '"x"', 'if-none-match': '"abc"' }, 'PreconditionFailed'],
    [{ 'if-modified-since': 'nonsense' }, null],
  ];
  for (const [headers, code] of cases) {
    const check = () => checkReadConditions(request('GET', '/b/k', headers), version);
    if (code === null) check();
    else refuses(check, code);
  }
  const ranged = (ifRange: string) =>
    rangeStillHolds(request('GET', '/b/k', { 'if-range': ifRange }), version);
  assert.deepEqual(['"abc"', '"x"', same, older].map(ranged), [true, false, true, false]);
});

test('conditions of writes create only, or replace one version only', () => {
  const version = { etag: 'abc', modifiedMs: 0 };
  const put = (headers: Record<string, string>) => request('PUT', '/b/k', headers);
  checkWriteConditions(put({}), version);
  checkWriteConditions(put({ 'if-none-match': '*' }), null);
  checkWriteConditions(put({ 'if-match': '"abc"' }), version);
  refuses(() => checkWriteConditions(put({ 'if-none-match': '*' }), version), 'PreconditionFailed');
  refuses(() => checkWriteConditions(put({ 'if-match': '"x"' }), version), 'PreconditionFailed');
  refuses(() => checkWriteConditions(put({ 'if-match': '"abc"' }), null), 'NoSuchKey');
  refuses(() => checkWriteConditions(put({ 'if-none-match': '"abc"' }), null), 'NotImplemented');
});

test('XML survives its own writing, and nothing but elements and text is read', () => {
  const nasty = '<&>"\' ü 😀 ]]> \r\n';
  const text = xmlDocument('A', [
    ['B', nasty],
    ['C', null],
    [
      'D',
      [
        ['E', 1],
        ['F', true],
      ],
    ],
  ]);
  const document = parseXml(text);
  assert.equal(document.name, 'A');
  assert.deepEqual(
    document.children.map(({ name, text }) => [name, text]),
    [
      ['B', nasty],
      ['D', ''],
    ],
  );
  assert.equal(parseXml('<?xml version="1.0"?><!-- c --><x:A xmlns:x="y"><B/></x:A>').children[0]?.name, 'B');
  for (const bad of [
    '',
    'text',
    '<A>',
    '<A></B>',
    '<A/><B/>',
    '</A>',
    '<A>&unknown;</A>',
    '<!DOCTYPE A [<!ENTITY e "x">]><A>&e;</A>',
    '<A>'.repeat(50),
    '<A><',
  ])
    assert.throws(() => parseXml(bad), XmlSyntaxError, bad);
});
