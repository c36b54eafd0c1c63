import { FlydError, pending, recoverable, unrecoverable } from '#core/errors';
import { type RegistrySource, sourceText } from '#core/source';
import type { Judge } from '../net/body.ts';
import { connectionFault, missingHint, retryAfterMs, unavailableHint } from '../net/failures.ts';
import type { WireAnswer } from '../net/wire.ts';

/** What was being asked of a registry, for messages and for the meaning of a 404. */
export interface Asked {
  source: RegistrySource;
  /** `manifest` and `tags` of an image, its `blob`s, or its `token` server. */
  what: 'manifest' | 'blob' | 'tags' | 'token';
  /** A tag or a digest. */
  name: string;
}

export const subjectOf = ({ source, name, what }: Asked): string =>
  what === 'token'
    ? `${sourceText(source)} (its token server ${name})`
    : `${sourceText(source)}${name.startsWith('sha256:') ? '@' : ':'}${name}`;

export const protocolError = (asked: Asked, what: string, cause?: unknown): FlydError =>
  unrecoverable('source_protocol', what, { subject: subjectOf(asked), hint: protocolHint, cause });

const protocolHint = 'is this a registry, or a proxy that answers for it? check its name and port';

/** Anything that the connection threw. FlydErrors pass; a bug is thrown on as it is. */
export function thrownError(asked: Asked, error: unknown): FlydError {
  if (error instanceof FlydError) return error;
  if (error instanceof ReferenceError || error instanceof TypeError) throw error;
  const { kind, what } = connectionFault(error);
  const details = { subject: subjectOf(asked), cause: error };
  if (kind === 'tls')
    return unrecoverable('source_denied', `the certificate of the registry is not trusted: ${what}`, {
      ...details,
      hint: 'set NODE_EXTRA_CA_CERTS to the file of its authority',
    });
  if (kind === 'connection')
    return recoverable('source_unavailable', `no answer from the registry: ${what}`, {
      ...details,
      hint: unavailableHint,
    });
  if (what === 'EPROTO' || what.startsWith('ERR_SSL_'))
    return unrecoverable('source_protocol', `the registry does not speak TLS: ${what}`, {
      ...details,
      hint: 'if it speaks plain HTTP and you accept that anyone between can change the image: --insecure',
    });
  return protocolError(asked, `the answer makes no sense: ${what}`, error);
}

export const judgeOf = (asked: Asked): Judge => ({
  unavailable: (what) =>
    recoverable('source_unavailable', what, { subject: subjectOf(asked), hint: unavailableHint }),
  protocol: (what) => protocolError(asked, what),
  thrown: (error) => thrownError(asked, error),
});

/** The meaning of an answer above 299 (distribution-spec, "Error Codes"). `body` is the start of it. */
export function refusalError(asked: Asked, { status, headers }: WireAnswer, body: string): FlydError {
  const code = codeIn(body);
  const what = `the registry answered ${status}${code === '' ? '' : ` ${code}`}`;
  const pauseMs = retryAfterMs(headers['retry-after'], Date.now());
  const facts = { status, registryCode: code, ...(pauseMs === null ? {} : { retryAfterMs: pauseMs }) };
  const details = { subject: subjectOf(asked), facts };
  if (status === 401 || status === 403)
    return unrecoverable('source_denied', what, { ...details, hint: deniedHint(asked) });
  if (status === 404 && asked.what === 'blob')
    return pending('object_missing', `${what}: the blob is not there`, { ...details, hint: missingHint });
  if (status === 404)
    return unrecoverable('reference_not_found', `${what}: there is no such image`, {
      ...details,
      hint: 'check name, tag and digest; a private one may need credentials (docker login, podman login)',
    });
  if (status === 412 || status === 416)
    return unrecoverable('object_changed', what, {
      ...details,
      hint: 'the registry has other bytes under this digest now: pull again',
    });
  if (status === 408 || status === 429 || status >= 500)
    return recoverable('source_unavailable', what, { ...details, hint: unavailableHint });
  return unrecoverable('source_protocol', what, { ...details, hint: protocolHint });
}

const deniedHint = ({ source }: Asked): string =>
  source.anonymous
    ? 'the image is not public: leave out --anonymous'
    : 'log in with docker login or podman login, or give a file with --auth-file; registries also answer so for images that do not exist';

/** `{"errors":[{"code":"NAME_UNKNOWN",…}]}`. The message is the server's own and may be anything: it is left out. */
const codeIn = (body: string): string => /"code"\s*:\s*"([A-Z_]{1,64})"/.exec(body)?.[1] ?? '';
