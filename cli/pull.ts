import { resolve } from 'node:path';
import { Command } from 'commander';
import type { ActivationOptions } from '#core/image';
import { type ActivationFlags, activationOf } from './activation-options.ts';
import { type CommonFlags, withActivation, withCommon, withSource, withWork } from './options.ts';
import type { Act, Session } from './session.ts';
import { wantedOf } from './wanted.ts';

interface PullFlags extends CommonFlags, ActivationFlags {
  lock?: string;
  results?: string;
  activate: boolean;
  wait: boolean;
}

const help = `
What happens: the layers of the image are listed, the missing ones downloaded and verified, unpacked in order into a base, and a snapshot of that base is mounted. Each step is
committed before it begins: after a crash, the same command or \`flyd resume\` goes on.

Examples:
  flyd pull golang --source s3://images/layers                  the objects under layers/golang/
  flyd pull s3://images/layers/golang                           the same; or an OCI layout there
  flyd pull oci:/srv/images:golang                              an OCI image layout in a folder
  flyd pull registry.example/tools/go:1.22@sha256:...           a registry; the digest decides
  flyd pull registry.example/tools/go:1.22 --platform linux/arm64
  flyd pull golang --source seed                                the public sample bucket
  flyd pull golang --source s3://images --endpoint http://127.0.0.1:9000 --anonymous
  flyd pull golang --source s3://images --lock golang.lock      pin its digests, enforce them later
  flyd pull golang --source s3://images --driver devmapper --pool-data /dev/sdb --pool-meta /dev/sdc
  flyd pull golang --source s3://images --no-wait --json        exit 3 if a layer is not there yet`;

export function pullCommand(act: Act): Command {
  const command = new Command('pull')
    .description('make an image or a family of layers a mounted read-write snapshot')
    .argument(
      '<image>',
      'a family under --source, oci:DIR:TAG, s3://bucket/prefix, or registry.example/repo:tag',
    );
  withSource(command)
    .option('--lock <file>', 'write the digests of its layers (first time), enforce them (later)')
    .optionsGroup('The result:')
    .option('--results <file>', 'write the JSON document there as well')
    .option('--no-activate', 'stop when the base is complete')
    .option('--no-wait', 'do not wait for layers that are not in the bucket yet: exit 3');
  withCommon(withWork(withActivation(command)));
  return command.addHelpText('after', help).action(
    act(async (session: Session, image: string, flags: PullFlags) => {
      const request = {
        ...wantedOf(image, session.settings.platform, session.settings),
        lockFile: flags.lock === undefined ? null : resolve(flags.lock),
        activation: flags.activate ? activationOf(flags) : (null as ActivationOptions | null),
      };
      const { pull } = await import('./pull-work.ts');
      return pull(session, request, {
        noWait: !flags.wait,
        results: flags.results === undefined ? null : resolve(flags.results),
      });
    }),
  );
}
