import { resolve } from 'node:path';
import { createLog } from '#infra/log';
import { type S3ServerOptions, startS3Server } from '#infra/s3-server';
import type { Session } from './session.ts';

/** `flyd s3 serve`: until a signal asks it to stop. */
export async function serveS3(
  { settings, surroundings, out }: Session,
  options: S3ServerOptions,
): Promise<number> {
  const secrets = [...surroundings.secrets, options.credentials?.secretAccessKey ?? ''];
  const log = createLog({ verbosity: settings.verbosity, secrets });
  const server = await startS3Server({
    ...options,
    dir: resolve(options.dir),
    log: (entry) => log.info(entry, 'request'),
  });
  out.document({ endpoint: server.endpoint });
  out.say(`serving ${options.dir} at ${server.endpoint}`);
  out.say(
    options.credentials === undefined
      ? `try: flyd pull <family> --source s3://<folder> --endpoint ${server.endpoint} --anonymous`
      : `try: AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... flyd pull <family> --source s3://<folder> --endpoint ${server.endpoint}`,
  );
  await new Promise((give) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, give);
  });
  await server.close();
  return 0;
}
