import type { Case } from '../../support/layer-cases.ts';
import { archives } from './archives.ts';
import { attributes } from './attributes.ts';
import { breakouts } from './breakouts.ts';
import { changes } from './changes.ts';
import { limits } from './limits.ts';
import { sparseFiles } from './sparse.ts';
import { types } from './types.ts';
import { whiteouts } from './whiteouts.ts';

/** Every bad or odd layer that flyd must answer for, by group. Rules are numbers of docs/layers.md, or CVEs. */
export const corpus: Readonly<Record<string, readonly Case[]>> = {
  'names and links that lead out': breakouts,
  'changes to what is there': changes,
  'types over types': types,
  'whiteouts and opaque directories': whiteouts,
  attributes,
  'sparse files': sparseFiles,
  archives,
  limits,
};
