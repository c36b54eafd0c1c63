import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, writeDurably } from '#infra/durable';

const tokenPattern = /^[A-Za-z0-9_-]{43}$/;

/**
 * The token of this state directory's dashboard: 256 bits, made once and kept in `inspect-token` (0600),
 * so that an open page goes on after the server was started again. Who can read it can read the database.
 */
export async function inspectToken(stateDir: string): Promise<string> {
  const path = join(stateDir, 'inspect-token');
  const known = (await readOrEmpty(path)).trim();
  if (tokenPattern.test(known)) return known;
  const token = randomBytes(32).toString('base64url');
  await writeDurably(path, `${token}\n`);
  return token;
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
}
