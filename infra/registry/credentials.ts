import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { type FlydError, FlydError as FlydFailure, unrecoverable } from '#core/errors';
import { errnoOf, fileError } from '../durable.ts';
import type { Exec } from '../exec.ts';

/** What a registry is told of who asks. Never stored, never logged. */
export type Credentials =
  | { kind: 'password'; username: string; password: string }
  /** A refresh token of the registry's token server. */
  | { kind: 'identity'; token: string };

/** The credentials for `host[:port]` of a registry, or null where there are none. */
export type FindCredentials = (host: string, signal?: AbortSignal) => Promise<Credentials | null>;

const entry = z.object({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
});
const fileSchema = z.object({
  auths: z.record(z.string(), entry.nullable()).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});
const answerSchema = z.object({ Username: z.string(), Secret: z.string() });

const helperPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/**
 * Looks for credentials in the files of the Docker client and of podman (containers-auth.json(5)), in this
 * order, each time anew: a token there may be renewed meanwhile. A file may leave it to a helper
 * (docker-credential-NAME). Fails with `source_denied` (a file or helper that cannot be used), `permission`,
 * `system_call`.
 */
export const createCredentials =
  (files: readonly string[], exec: Exec): FindCredentials =>
  async (host, signal) => {
    for (const path of files) {
      const content = await contentOf(path);
      if (content === null) continue;
      const names = namesOf(host);
      const helper = first(content.credHelpers, names) ?? null;
      if (helper !== null) return askHelper(exec, { helper, host, path, signal });
      const found = credentialsIn(first(content.auths, names) ?? null, path);
      if (found !== null) return found;
      if (content.credsStore !== undefined) {
        const stored = await askHelper(exec, { helper: content.credsStore, host, path, signal });
        if (stored !== null) return stored;
      }
    }
    return null;
  };

/** The forms in which clients of all ages wrote a registry's name. */
const namesOf = (host: string): string[] => [
  host,
  ...['https://', 'http://'].flatMap((scheme) =>
    ['', '/', '/v1/', '/v2/'].map((end) => `${scheme}${host}${end}`),
  ),
];

const first = <Value>(
  table: Record<string, Value> | undefined,
  names: readonly string[],
): Value | undefined => names.map((name) => table?.[name]).find((value) => value !== undefined);

const unusable = (path: string, what: string, hint?: string): FlydError =>
  unrecoverable('source_denied', what, {
    subject: path,
    hint: hint ?? 'log in again with the tool that wrote it, or use --anonymous or --auth-file',
  });

async function contentOf(path: string): Promise<z.output<typeof fileSchema> | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(error, 'read', path);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Without its cause: the parser quotes what it could not read, and that is a secret here.
    throw unusable(path, 'the credential file is not JSON');
  }
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) throw unusable(path, 'the credential file has not the form of one');
  return parsed.data;
}

function credentialsIn(given: z.output<typeof entry> | null, path: string): Credentials | null {
  if (given === null) return null;
  if (given.identitytoken) return { kind: 'identity', token: given.identitytoken };
  if (given.auth) {
    const text = Buffer.from(given.auth, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    if (colon < 1) throw unusable(path, 'an entry of the credential file has no user name');
    return {
      kind: 'password',
      username: text.slice(0, colon),
      password: text.slice(colon + 1).replace(/\0+$/, ''),
    };
  }
  if (given.username && given.password)
    return { kind: 'password', username: given.username, password: given.password };
  return null;
}

interface Asking {
  helper: string;
  host: string;
  path: string;
  signal: AbortSignal | undefined;
}

async function askHelper(exec: Exec, { helper, host, path, signal }: Asking): Promise<Credentials | null> {
  if (!helperPattern.test(helper))
    throw unusable(path, 'the credential file names a helper that cannot be one');
  const command = `docker-credential-${helper}`;
  const { code, stdout } = await exec(command, ['get'], {
    op: 'source.credentials',
    input: host,
    okCodes: [0, 1],
    subject: command,
    signal,
  }).catch((error: unknown) => {
    if (error instanceof FlydFailure && error.code === 'command_missing')
      throw unusable(
        path,
        `the credential file leaves ${host} to ${command}, which is not installed`,
        `install ${command}, or put the credentials into a file for --auth-file, or use --anonymous`,
      );
    throw error;
  });
  if (code !== 0) return null; // how helpers say that they have none
  let answer: unknown;
  try {
    answer = JSON.parse(stdout);
  } catch {
    throw unusable(command, `${command} answered with something that is not JSON`);
  }
  const parsed = answerSchema.safeParse(answer);
  if (!parsed.success) throw unusable(command, `${command} answered without a user name and a secret`);
  const { Username, Secret } = parsed.data;
  return Username === '<token>'
    ? { kind: 'identity', token: Secret }
    : { kind: 'password', username: Username, password: Secret };
}
