import { posix } from 'node:path';
import type { ActivationResult } from '#core/image';
import { bytesText, type Output, secondsText } from './output.ts';
import type { PullDocument } from './pull-document.ts';

export interface SummaryContext {
  /** Flags that the commands to try next need to find this state directory; else empty. */
  stateFlag: string;
  isRoot: boolean;
}

/** What a pull came to, for the person who asked for it. */
export function summarise(document: PullDocument, out: Output, context: SummaryContext): void {
  const { image, base, activation, bytes, seconds } = document;
  if (image === null || base === null) return;
  const reused = image.layers.filter((layer) => layer.reused).length;
  out.say(
    `${image.family}: ${image.layers.length} layers in ${secondsText(seconds.total)}: ` +
      `${bytesText(bytes.fetched)} fetched, ${reused} of ${image.layers.length} layers reused, ` +
      `${base.reused ? 'nothing to unpack' : `${bytesText(bytes.unpacked)} unpacked`}`,
  );
  out.say(`  image       ${image.id}  (chain ${image.chain.slice(0, 19)})`);
  out.say(`  base        ${base.id}  (${base.driver}${base.reused ? ', reused' : ''})`);
  if (activation === null) out.say(`  next        flyd activate ${image.id}${context.stateFlag}`);
  else sayActivation(activation, out, context);
  if (!document.pinned)
    out.say(
      `  unpinned    whoever can write to ${image.source} chose what is in it; --lock FILE keeps it as it is now`,
    );
  for (const { code, count, example } of document.warnings)
    out.say(`  warning     ${code}: ${count} (${posix.join('/', example)} ...)`);
}

/** Where an activation is, how to enter it, and how to be rid of it. */
export function sayActivation(activation: ActivationResult, out: Output, context: SummaryContext): void {
  const { id, path, rootfs, device } = activation;
  const place = path ?? device ?? rootfs;
  out.say(`  activation  ${id}  ${place === null ? '' : `at ${place}`}`);
  if (rootfs !== null)
    out.say(
      `  enter it    ${context.isRoot ? 'chroot' : 'unshare --map-root-user chroot'} ${rootfs} /bin/sh`,
    );
  if (device !== null && path === null)
    out.say(`  the device  ${device} holds the file system; flyd mounts it nowhere`);
  out.say(`  take down   flyd deactivate ${id}${context.stateFlag}`);
}
