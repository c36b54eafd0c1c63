import { Command, InvalidArgumentError } from 'commander';
import { unrecoverable } from '#core/errors';
import { type CommonFlags, withCommon } from './options.ts';
import type { Act, Session } from './session.ts';

interface ServeFlags extends CommonFlags {
  port: number;
  host: string;
  accessKey?: string;
  secretKey?: string;
}

const help = `
Folders in <dir> are buckets, files in them are objects by their path; links out of it are not
followed. Without keys anyone on this machine may read and write; other addresses need keys.

Examples:
  flyd s3 serve ./buckets                    then: flyd pull demo --source s3://images --endpoint http://127.0.0.1:9000 --anonymous
  flyd s3 serve ./buckets --port 0 --json    a free port; prints {"endpoint": ...}`;

export function s3Command(act: Act): Command {
  const s3 = new Command('s3').description('the embedded S3 server');
  const serve = new Command('serve')
    .description('serve a folder as S3, for trying out and for tests')
    .argument('<dir>')
    .option('--port <n>', '0 picks a free one', port, 9000)
    .option('--host <address>', 'to listen on', '127.0.0.1')
    .option('--access-key <key>', 'requests must be signed with this key ...')
    .option('--secret-key <key>', '... and this secret');
  withCommon(serve);
  serve.addHelpText('after', help).action(
    act(async (session: Session, dir: string, flags: ServeFlags) => {
      const credentials = credentialsOf(flags);
      const { serveS3 } = await import('./s3-serve.ts');
      return serveS3(session, { dir, port: flags.port, host: flags.host, ...credentials });
    }),
  );
  s3.addCommand(serve);
  return s3;
}

function credentialsOf({ accessKey, secretKey }: ServeFlags) {
  if (accessKey === undefined && secretKey === undefined) return {};
  if (accessKey === undefined || secretKey === undefined)
    throw unrecoverable('usage', '--access-key and --secret-key belong together', { op: 's3 serve' });
  return { credentials: { accessKeyId: accessKey, secretAccessKey: secretKey } };
}

function port(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number > 65_535) throw new InvalidArgumentError('write a number up to 65535');
  return number;
}
