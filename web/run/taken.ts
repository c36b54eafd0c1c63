import type { Chart, ChartEdge, Commit, Json } from '../data/types.ts';

/** What a run has done on its statechart, up to some step. */
export interface Taken {
  active: Set<string>;
  visited: Set<string>;
  /** How often each arrow was followed. */
  edges: Map<string, number>;
  /** Arrows of the last step. */
  last: Set<string>;
  /** States and arrows that errors led through. */
  failed: Set<string>;
}

/** Marks of the commits on the chart; `value` is the machine's own word for where it stands, if known. */
export function takenBy(chart: Chart, commits: readonly Commit[], value: Json | null): Taken {
  const tree = treeOf(chart);
  const taken: Taken = {
    active: new Set(),
    visited: new Set(),
    edges: new Map(),
    last: new Set(),
    failed: new Set(),
  };
  const visit = (id: string): void => {
    for (let at: string | null = id; at !== null; at = tree.parents.get(at) ?? null) taken.visited.add(at);
  };
  for (const commit of commits) {
    const path = pathOf(chart, tree, commit);
    taken.last = new Set(path.map(({ id }) => id));
    const failed = commit.event.startsWith('xstate.error.');
    for (const edge of path) {
      taken.edges.set(edge.id, (taken.edges.get(edge.id) ?? 0) + 1);
      visit(edge.to);
      if (failed) taken.failed.add(edge.id);
    }
    for (const leaf of leavesOf(tree, commit.to)) {
      visit(leaf);
      if (commit.error !== null && commit.to === commit.from) taken.failed.add(leaf);
    }
  }
  const leaves =
    value === null
      ? leavesOf(tree, commits.at(-1)?.to ?? '')
      : leavesOfValue(tree.root, value as StateValue, tree);
  for (const leaf of leaves)
    for (let at: string | null = leaf; at !== null; at = tree.parents.get(at) ?? null) taken.active.add(at);
  return taken;
}

interface Tree {
  root: string;
  parents: Map<string, string | null>;
  children: Map<string, string[]>;
  types: Map<string, string>;
  initial: Map<string, string>;
}
type StateValue = string | { [key: string]: StateValue };

function treeOf(chart: Chart): Tree {
  const tree: Tree = {
    root: chart.nodes.find(({ parent }) => parent === null)?.id ?? '',
    parents: new Map(),
    children: new Map(),
    types: new Map(),
    initial: new Map(),
  };
  for (const { id, parent, type, initial } of chart.nodes) {
    tree.parents.set(id, parent);
    tree.types.set(id, type);
    if (parent === null) continue;
    tree.children.set(parent, [...(tree.children.get(parent) ?? []), id]);
    if (initial) tree.initial.set(parent, id);
  }
  return tree;
}

/** `a.b` or `left.x+right.y` as ids of the states without children that it names. */
export function leavesOfText(chart: Chart, state: string): string[] {
  return leavesOf(treeOf(chart), state);
}

function leavesOf(tree: Tree, state: string): string[] {
  const parts = state.split('+');
  return parts.flatMap((part, index) => {
    // A later region of a parallel state below others is named without the path that leads to it.
    const first = (parts[0] ?? '').split('.');
    for (let keep = 0; index > 0 && keep < first.length; keep++) {
      const id = [tree.root, ...first.slice(0, keep), part].join('.');
      if (tree.parents.has(id)) return [id];
    }
    const id = `${tree.root}.${part}`;
    return tree.parents.has(id) ? [id] : [];
  });
}

function leavesOfValue(at: string, value: StateValue, tree: Tree): string[] {
  if (typeof value === 'string') return tree.parents.has(`${at}.${value}`) ? [`${at}.${value}`] : [];
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const found = leavesOfValue(`${at}.${key}`, inner, tree);
    return found.length > 0 ? found : [`${at}.${key}`];
  });
}

const pathLengthMax = 12;

/**
 * The arrows that lead from one stored state to the next: the history names the event and both ends,
 * what lies between are transitions without an event. The shortest way is taken.
 */
function pathOf(chart: Chart, tree: Tree, { event, from, to }: Commit): ChartEdge[] {
  if (from === null) return [];
  const targets = new Set(leavesOf(tree, to));
  const sources = leavesOf(tree, from).flatMap((leaf) => ancestors(tree, leaf));
  const direct = startsOf(chart, sources, (edge) => matches(edge.event, event));
  const found = follow(chart, tree, direct, targets);
  if (found !== null) return found;
  if (from === to) return [];
  // The event only changed the context, and so opened the way of a transition that waits for no event.
  return follow(chart, tree, startsOf(chart, sources, isAutomatic), targets) ?? [];
}

/** Ways of one arrow that begin in the sources, the innermost state's first, as XState chooses them. */
function startsOf(
  chart: Chart,
  sources: readonly string[],
  fits: (edge: ChartEdge) => boolean,
): ChartEdge[][] {
  return chart.edges
    .filter((edge) => sources.includes(edge.from) && fits(edge))
    .sort((a, b) => sources.indexOf(a.from) - sources.indexOf(b.from))
    .map((edge) => [edge]);
}

/** The first of the shortest ways to one of the targets, over transitions without an event; null if none leads there. */
function follow(
  chart: Chart,
  tree: Tree,
  starts: ChartEdge[][],
  targets: ReadonlySet<string>,
): ChartEdge[] | null {
  let ways = starts;
  for (let length = 0; length < pathLengthMax && ways.length > 0; length++) {
    const arrived = ways.find((way) => ends(tree, way.at(-1)?.to ?? '').some((leaf) => targets.has(leaf)));
    if (arrived !== undefined) return arrived;
    ways = ways.flatMap((way) => {
      const here = ends(tree, way.at(-1)?.to ?? '').flatMap((leaf) => ancestors(tree, leaf));
      return chart.edges
        .filter((edge) => isAutomatic(edge) && here.includes(edge.from) && !way.includes(edge))
        .map((edge) => [...way, edge]);
    });
  }
  return null;
}

const isAutomatic = ({ event }: ChartEdge): boolean => event === '' || event.startsWith('xstate.done.state.');

const matches = (descriptor: string, event: string): boolean =>
  descriptor !== '' &&
  (descriptor === event || (descriptor.endsWith('*') && event.startsWith(descriptor.slice(0, -1))));

function ancestors(tree: Tree, id: string): string[] {
  const found: string[] = [];
  for (let at: string | null = id; at !== null; at = tree.parents.get(at) ?? null) found.push(at);
  return found;
}

/** Where entering a state ends: at itself, or the leaves of its initial states. */
function ends(tree: Tree, id: string): string[] {
  const children = tree.children.get(id) ?? [];
  if (children.length === 0) return [id];
  if (tree.types.get(id) === 'parallel') return children.flatMap((child) => ends(tree, child));
  const first = tree.initial.get(id);
  return first === undefined ? [id] : ends(tree, first);
}

/** Events that the states would take now, by their names. */
export function acceptedEvents(chart: Chart, active: ReadonlySet<string>): string[] {
  const names = chart.nodes
    .filter(({ id }) => active.has(id))
    .flatMap(({ events }) => events.filter((event) => !/^(xstate|flyd)\./.test(event)));
  return [...new Set(names)].sort();
}
