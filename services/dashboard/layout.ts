import type { ELK as Elk, ElkEdgeSection, ElkExtendedEdge, ElkNode } from 'elkjs/lib/elk.bundled.js';
import type { Chart } from './chart.ts';

/** Places of a chart's boxes and arrows, in pixels; boxes relative to their parents. */
export interface Layout {
  nodes: Record<string, { x: number; y: number; width: number; height: number }>;
  /** Corners of each arrow, and where its label is, from the top left of the whole drawing. */
  edges: Record<string, { points: Point[]; label: (Point & { width: number; height: number }) | null }>;
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

/** Widths as the page's 11 and 12 pixel type sets them; a little too wide is harmless. */
const labelWidth = (text: string): number => Math.ceil(text.length * 6.3) + 10;
const titleWidth = (text: string): number => Math.ceil(text.length * 7.4) + 34;
const lineHeight = 16;
const options = {
  'elk.algorithm': 'layered',
  'elk.hierarchyHandling': 'INCLUDE_CHILDREN',
  'elk.edgeRouting': 'ORTHOGONAL',
  'elk.layered.spacing.nodeNodeBetweenLayers': '34',
  'elk.spacing.nodeNode': '28',
  'elk.spacing.edgeNode': '14',
  'elk.spacing.edgeLabel': '3',
  'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX',
  'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
  'elk.json.edgeCoords': 'ROOT',
};
const padding = '[top=40,left=16,bottom=16,right=16]';

export const edgeLabel = ({ label, guard }: { label: string; guard: string | null }): string =>
  [label, guard === null ? '' : `[${guard}]`].filter((part) => part !== '').join(' ');

/** Lays charts out, each once: by its definition's hash, so that states never move as a run goes on. */
export function createLayouts(): (hash: string, chart: Chart) => Promise<Layout> {
  const known = new Map<string, Promise<Layout>>();
  let elk: Promise<Elk> | null = null;
  return (hash, chart) => {
    // Loading it takes a while, and most who start the server look at the table first.
    elk ??= import('elkjs/lib/elk.bundled.js').then(({ default: Elk }) => new (asClass(Elk))());
    const found = known.get(hash) ?? elk.then((layouter) => layOutWell(layouter, chart));
    known.set(hash, found);
    return found;
  };
}

/** CommonJS as it is seen from a module, with types that say otherwise. */
const asClass = (module: unknown): (new () => Elk) =>
  (typeof module === 'function' ? module : (module as { default: unknown }).default) as new () => Elk;

/** The room that the page has for a drawing. */
const frame = { width: 740, height: 420 };

/** Downwards or to the right, whichever can be shown larger. */
async function layOutWell(elk: Elk, chart: Chart): Promise<Layout> {
  const down = await layOut(elk, chart, 'DOWN');
  const right = await layOut(elk, chart, 'RIGHT');
  const scaleOf = ({ width, height }: Layout): number =>
    Math.min(1, frame.width / width, frame.height / height);
  return scaleOf(right) > scaleOf(down) ? right : down;
}

async function layOut(elk: Elk, chart: Chart, direction: 'DOWN' | 'RIGHT'): Promise<Layout> {
  const childrenOf = (parent: string | null): ElkNode[] =>
    chart.nodes
      .filter((node) => node.parent === parent)
      .map((node) => {
        const children = childrenOf(node.id);
        const widest = Math.max(
          titleWidth([node.label, ...node.tags].join('   ')),
          ...node.invokes.map((name) => labelWidth(name) + 24),
        );
        const size = { width: Math.max(84, widest), height: 34 + node.invokes.length * lineHeight };
        return children.length === 0
          ? { id: node.id, ...size }
          : {
              id: node.id,
              children,
              layoutOptions: {
                'elk.padding': padding,
                'elk.nodeSize.constraints': 'MINIMUM_SIZE',
                'elk.nodeSize.minimum': `(${size.width},${size.height})`,
              },
            };
      });
  const edges: ElkExtendedEdge[] = chart.edges.map((edge) => {
    const label = edgeLabel(edge);
    return {
      id: edge.id,
      sources: [edge.from],
      targets: [edge.to],
      labels:
        label === '' ? [] : [{ id: `${edge.id}.label`, text: label, width: labelWidth(label), height: 15 }],
    };
  });
  const placed = await elk.layout({
    id: '(drawing)',
    children: childrenOf(null),
    edges,
    layoutOptions: { ...options, 'elk.direction': direction },
  });
  return layoutOf(placed);
}

function layoutOf(placed: ElkNode): Layout {
  const nodes: Layout['nodes'] = {};
  const edges: Layout['edges'] = {};
  const take = (node: ElkNode): void => {
    for (const { id, x = 0, y = 0, width = 0, height = 0, ...rest } of node.children ?? []) {
      nodes[id] = { x, y, width, height };
      take({ id, ...rest });
    }
    for (const edge of node.edges ?? []) {
      const [section] = edge.sections ?? [];
      const label = edge.labels?.[0];
      edges[edge.id] = {
        points: section === undefined ? [] : pointsOf(section),
        label:
          label === undefined
            ? null
            : { x: label.x ?? 0, y: label.y ?? 0, width: label.width ?? 0, height: label.height ?? 0 },
      };
    }
  };
  take(placed);
  return { nodes, edges, width: placed.width ?? 0, height: placed.height ?? 0 };
}

const pointsOf = ({ startPoint, bendPoints = [], endPoint }: ElkEdgeSection): Point[] => [
  startPoint,
  ...bendPoints,
  endPoint,
];
