import { FlydError } from '#core/errors';
import { LayerStack } from './layer-stack.ts';
import { randomOf } from './random.ts';
import { type Palette, randomEntries } from './random-layers.ts';
import { tar } from './tar-builder.ts';
import { diffTrees, type Entry, listTree } from './tree.ts';
import { type Umoci, unpackByUmoci } from './umoci.ts';

/** Layers as their entries: what a failing stack is made smaller by. */
export type Stack = readonly (readonly Buffer[])[];

/** Where umoci does something else, and why flyd does not follow. Numbers are those of docs/layers.md. */
export const deviations = {
  implicit:
    'rules 10 and 11: a directory that no entry names is 0755, root, mtime 0; umoci leaves the time of unpacking, and the attributes of a file that stood there',
  touched:
    'rules 10 and 29: a directory that is changed without an entry keeps its time; umoci keeps it only for the direct parent of an entry, and not for whiteouts',
  selfLink: 'rule 12: a hard link to itself changes nothing; umoci removes the file first, and fails',
  fileOnTheWay: 'rule 11: a file on the way becomes a directory; umoci before 0.5 refuses it',
} as const;
export type Deviation = keyof typeof deviations;

/**
 * What umoci's reader (Go's archive/tar) and kernel calls have no answer for is left out: GNU's old sparse
 * form (rule 52), sparse files without data (rule 53), `user.` xattrs on what cannot have them (rule 33).
 */
const palette: Palette = {
  devices: true,
  rootXattrs: true,
  specialXattrs: false,
  sparse: ['0.0', '0.1', '1.0'],
  sparseEmpty: false,
};

export interface Comparison {
  /** What no deviation explains; empty when all are the same. */
  differences: string[];
  /** The deviations that were met. */
  met: Set<Deviation>;
  /** The stack that was compared last. */
  stack: Stack;
}

/** Random layers by a seed, one over the other, each compared when it is added; those that flyd and umoci refuse alike are dropped. */
export function compareSeed(seed: number, umoci: Umoci): Comparison {
  const r = randomOf(seed);
  const met = new Set<Deviation>();
  let stack: Stack = [];
  const depth = 2 + r.below(3);
  for (let tries = 0; stack.length < depth && tries < 12; tries++) {
    const next = [...stack, randomEntries(r, palette)];
    const { differences, met: now, refused } = compareStack(next, umoci);
    for (const one of now) met.add(one);
    if (differences.length > 0) return { differences, met, stack: next };
    if (!refused) stack = next;
  }
  return { differences: [], met, stack };
}

/** Random layers by a seed, one over the other: those that the flat form takes. For where there is no umoci. */
export function flatStack(seed: number): Stack {
  const r = randomOf(seed);
  let stack: Stack = [];
  for (let depth = 2 + r.below(3); depth > 0; depth--) {
    const next = [...stack, randomEntries(r, palette)];
    const place = new LayerStack();
    try {
      place.flat(next.map((entries) => tar(...entries)));
      stack = next;
    } catch (error) {
      if (!(error instanceof FlydError)) throw error;
    } finally {
      place.remove();
    }
  }
  return stack;
}

/** The same layers by umoci, and by flyd in every form. `refused`: not all of them took the stack. */
export function compareStack(stack: Stack, umoci: Umoci): Omit<Comparison, 'stack'> & { refused: boolean } {
  const met = new Set<Deviation>();
  const layers = stack.map((entries) => tar(...entries));
  const place = new LayerStack();
  try {
    const ours = attempt(() => treesOf(place, layers));
    const theirs = unpackByUmoci(umoci, layers, place.folder('umoci'));
    if ('refused' in ours)
      return {
        differences: 'refused' in theirs ? [] : [`only flyd refuses: ${ours.refused}`],
        met,
        refused: true,
      };
    if ('refused' in theirs) return judgeRefusal(stack, theirs.refused, ours, umoci);
    const differences = ours.flatMap(({ form, tree, split }) => {
      const reference = new Map(listTree(theirs.rootfs));
      explain(tree, reference, met);
      // Overlayfs cannot keep a lower file's other names together with a link made above it (rule 15).
      return diffTrees(tree, reference, { ignore: split ? ['linkGroup'] : [] }).map(
        (line) => `${form}: ${line}`,
      );
    });
    return { differences, met, refused: false };
  } finally {
    place.remove();
  }
}

interface Formed {
  form: string;
  tree: Map<string, Entry>;
  split: boolean;
}

function treesOf(place: LayerStack, layers: readonly Buffer[]): Formed[] {
  const flat = place.flat(layers);
  const overlay = place.overlay(layers);
  const images = place.images(layers);
  const split = overlay.applied.some(({ report }) => report.count('link_group_split') > 0);
  return [
    { form: 'flat', tree: listTree(flat.rootfs), split: false },
    { form: 'overlay', tree: listTree(place.merge(overlay.lowers)), split },
    { form: 'prepared', tree: listTree(place.merge(place.prepared(layers).lowers)), split },
    { form: 'images', tree: listTree(place.mergeImages(images.lowers)), split },
  ];
}

function attempt(act: () => Formed[]): Formed[] | { refused: string } {
  try {
    return act();
  } catch (error) {
    if (error instanceof FlydError) return { refused: `${error.code}: ${error.message}` };
    throw error;
  }
}

/** What only umoci refuses is a difference, unless it is a known one. */
function judgeRefusal(
  stack: Stack,
  said: string,
  ours: Formed[],
  umoci: Umoci,
): Omit<Comparison, 'stack'> & { refused: boolean } {
  if (/mkdir parent: .*: not a directory$/.test(said) && umoci.version.startsWith('0.4.'))
    return { differences: [], met: new Set(['fileOnTheWay']), refused: true };
  const without = / link: no such file or directory$/.test(said) ? withoutSelfLink(stack, ours) : null;
  if (without === null)
    return { differences: [`only umoci refuses: ${said}`], met: new Set(), refused: true };
  const rest = compareStack(without, umoci);
  return { ...rest, met: new Set([...rest.met, 'selfLink']), refused: true };
}

/** The stack without a hard link that changes nothing to flyd, as one to itself does; null when there is none. */
function withoutSelfLink(stack: Stack, ours: Formed[]): Stack | null {
  const flat = ours.find(({ form }) => form === 'flat')?.tree ?? new Map<string, Entry>();
  const isLink = (entry: Buffer): boolean => entry.at(entry.length - 512 + 156) === '1'.charCodeAt(0);
  for (const [layer, entries] of stack.entries())
    for (const [index, entry] of entries.entries()) {
      if (!isLink(entry)) continue;
      const without = stack.map((one, i) => (i === layer ? one.filter((_, at) => at !== index) : one));
      const place = new LayerStack();
      try {
        const { rootfs } = place.flat(without.map((one) => tar(...one)));
        if (diffTrees(flat, listTree(rootfs)).length === 0) return without;
      } finally {
        place.remove();
      }
    }
  return null;
}

const startedNs = BigInt(Date.now()) * 1_000_000n;

/** Makes `reference` say what flyd says wherever a deviation allows it, and nowhere else. */
function explain(ours: ReadonlyMap<string, Entry>, reference: Map<string, Entry>, met: Set<Deviation>): void {
  for (const [path, mine] of ours) {
    const theirs = reference.get(path);
    if (mine.type !== 'dir' || theirs?.type !== 'dir') continue;
    if (isImplicit(mine)) {
      if (diffTrees(new Map([[path, mine]]), new Map([[path, theirs]])).length > 0) met.add('implicit');
      reference.set(path, mine);
    } else if (theirs.mtimeNs >= startedNs && mine.mtimeNs < startedNs) {
      met.add('touched');
      reference.set(path, { ...theirs, mtimeNs: mine.mtimeNs });
    }
  }
}

/** Entries of these layers have times after 1970, so this is a directory that none of them names. */
const isImplicit = ({ mode, uid, gid, mtimeNs, xattrs }: Entry): boolean =>
  mode === 0o755 && uid === 0 && gid === 0 && mtimeNs === 0n && Object.keys(xattrs).length === 0;

/** The same fault with as few entries as can be: parts are left out one by one while it stays. */
export function shrink(stack: Stack, fails: (stack: Stack) => boolean): Stack {
  let smallest = stack;
  for (let again = true; again; ) {
    again = false;
    for (const candidate of smaller(smallest)) {
      if (!fails(candidate)) continue;
      smallest = candidate;
      again = true;
      break;
    }
  }
  return smallest;
}

/** The stack without one of its layers, or without one entry. */
function* smaller(stack: Stack): Generator<Stack> {
  for (const layer of stack.keys()) if (stack.length > 1) yield stack.filter((_, i) => i !== layer);
  for (const [layer, entries] of stack.entries())
    for (const entry of entries.keys())
      yield stack.map((one, i) => (i === layer ? one.filter((_, j) => j !== entry) : one));
}
