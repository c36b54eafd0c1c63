import { FlydError, unrecoverable } from '#core/errors';
import type { Digest } from '#core/ids';
import type { Exec } from './exec.ts';

/** What a verifier is asked to judge. */
export interface Verdict {
  /** As a person would write it: `registry.example/app:1.2`. */
  name: string;
  digest: Digest;
  /** Type and text of what it reads on its standard input. */
  mediaType: string;
  descriptor: string;
  signal: AbortSignal;
}

/** Resolves when the image is allowed; `image_refused`, `command_missing`, `command_timeout`, or the signal's reason. */
export type Verify = (asked: Verdict) => Promise<void>;

/**
 * A command of the operator's that judges images, called as containerd calls its image verifiers:
 * `COMMAND -name NAME -digest DIGEST -stdin-media-type TYPE`, a descriptor on standard input, exit code 0
 * allows, anything else refuses, and what it says first is the reason.
 */
export const createVerifier =
  (exec: Exec, { command, timeoutMs }: { command: string; timeoutMs: number }): Verify =>
  async ({ name, digest, mediaType, descriptor, signal }) => {
    const op = 'image.verify';
    const args = ['-name', name, '-digest', digest, '-stdin-media-type', mediaType];
    try {
      await exec(command, args, { op, subject: name, input: descriptor, timeoutMs, signal });
    } catch (error) {
      if (!(error instanceof FlydError) || error.code !== 'command_failed') throw error;
      throw unrecoverable('image_refused', `the verifier does not allow the image: ${saidBy(error)}`, {
        op,
        subject: name,
        hint: `${command} decides; what it was asked is in docs/sources.md`,
        cause: error,
      });
    }
  };

function saidBy({ facts }: FlydError): string {
  const said =
    String(facts?.stderr ?? '')
      .trim()
      .split('\n')[0] ?? '';
  return said === '' ? `exit code ${facts?.code ?? 'none'}` : said.slice(0, 300);
}
