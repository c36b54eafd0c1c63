import { createHash } from 'node:crypto';
import type { ChainId, DiffId } from './ids.ts';

/** The chain IDs of every prefix of the layers (OCI image-spec, config.md, "Layer ChainID"). */
export function chainIds(diffIds: readonly DiffId[]): ChainId[] {
  const chain: ChainId[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(
      below === undefined
        ? (diffId as string as ChainId)
        : (`sha256:${createHash('sha256').update(`${below} ${diffId}`).digest('hex')}` as ChainId),
    );
  }
  return chain;
}
