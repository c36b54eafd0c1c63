import {
  BaseEdge,
  Controls,
  type Edge,
  type EdgeProps,
  Handle,
  type Node,
  type NodeProps,
  Position,
  ReactFlow,
} from '@xyflow/react';
import '@xyflow/react/dist/base.css';
import { useMemo } from 'react';
import type { ChartEdge, ChartNode, DefinitionDocument, Layout } from '../data/types.ts';
import type { Taken } from './taken.ts';

type Definition = NonNullable<DefinitionDocument>;
type StateNode = Node<{ state: ChartNode; look: string }, 'state'>;
type ArrowEdge = Edge<
  { arrow: ChartEdge; place: Layout['edges'][string]; look: string; times: number },
  'arrow'
>;

/** The statechart of a definition. Places come with the definition, so that only looks change as a run goes on. */
export function ChartView({ definition, taken }: { definition: Definition; taken: Taken }) {
  const { chart, layout } = definition;
  const places = useMemo(() => absolutePlaces(definition), [definition]);
  const nodes: StateNode[] = chart.nodes.map((state, index) => {
    const place = places.get(state.id) ?? { x: 0, y: 0, width: 0, height: 0 };
    return {
      id: state.id,
      type: 'state',
      position: { x: place.x, y: place.y },
      width: place.width,
      height: place.height,
      // Said beforehand: what React Flow has to measure first has no arrows until then.
      measured: { width: place.width, height: place.height },
      handles: handlesOf(place),
      zIndex: index,
      data: { state, look: lookOf(state, taken) },
    };
  });
  const edges: ArrowEdge[] = chart.edges.flatMap((arrow) => {
    const place = layout.edges[arrow.id];
    if (place === undefined) return [];
    const times = taken.edges.get(arrow.id) ?? 0;
    const look = [
      times > 0 ? 'visited' : '',
      taken.last.has(arrow.id) ? 'last' : '',
      taken.failed.has(arrow.id) ? 'failed' : '',
      `kind-${arrow.kind}`,
    ];
    return [
      {
        id: arrow.id,
        type: 'arrow' as const,
        source: arrow.from,
        target: arrow.to,
        zIndex: 1000 + times,
        data: { arrow, place, look: look.join(' '), times },
      },
    ];
  });
  const now = [...taken.active].filter((id) => !chart.nodes.some(({ parent }) => parent === id));
  return (
    <figure
      className="chart"
      aria-label={`Statechart of ${definition.machine}; in ${now.join(', ') || 'no state'}`}
    >
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        edgeTypes={edgeTypes}
        fitView
        fitViewOptions={{ padding: 0.04, maxZoom: 1 }}
        minZoom={0.1}
        maxZoom={2}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        edgesFocusable={false}
        elementsSelectable={false}
        zoomOnScroll={false}
        preventScrolling={false}
        zoomOnDoubleClick={false}
        proOptions={{ hideAttribution: true }}
      >
        <Controls showInteractive={false} />
      </ReactFlow>
    </figure>
  );
}

/** Where arrows would be tied on; they have ways of their own, but without these none is drawn. */
function handlesOf({ width, height }: { width: number; height: number }) {
  const middle = { x: width / 2, width: 1, height: 1 };
  return [
    { ...middle, type: 'target' as const, position: Position.Top, y: 0 },
    { ...middle, type: 'source' as const, position: Position.Bottom, y: height },
  ];
}

function lookOf({ id, type, parent }: ChartNode, taken: Taken): string {
  return [
    `type-${type}`,
    parent === null ? 'root' : '',
    taken.active.has(id) ? 'active' : '',
    taken.visited.has(id) ? 'visited' : '',
    taken.failed.has(id) ? 'failed' : '',
  ].join(' ');
}

/** Places inside parents, as places in the drawing. */
function absolutePlaces({ chart, layout }: Definition) {
  const places = new Map<string, Layout['nodes'][string]>();
  for (const { id, parent } of chart.nodes) {
    const own = layout.nodes[id];
    if (own === undefined) continue;
    const above = parent === null ? { x: 0, y: 0 } : (places.get(parent) ?? { x: 0, y: 0 });
    places.set(id, { ...own, x: own.x + above.x, y: own.y + above.y });
  }
  return places;
}

function StateBox({ data: { state, look } }: NodeProps<StateNode>) {
  return (
    <div className={`state ${look}`} data-state={state.id}>
      <Handle type="target" position={Position.Top} isConnectable={false} />
      <div className="title">
        {state.initial && <span className="initial" title="initial" />}
        {state.label}
        {state.tags.map((tag) => (
          <span key={tag} className="tag">
            {tag}
          </span>
        ))}
      </div>
      {state.invokes.map((name) => (
        <div key={name} className="invoke">
          {name}
        </div>
      ))}
      <Handle type="source" position={Position.Bottom} isConnectable={false} />
    </div>
  );
}

function Arrow({ id, data }: EdgeProps<ArrowEdge>) {
  if (data === undefined) return null;
  const { arrow, place, look, times } = data;
  const text = [arrow.label, arrow.guard === null ? '' : `[${arrow.guard}]`]
    .filter((part) => part !== '')
    .join(' ');
  return (
    <g className={`arrow ${look}`} data-edge={id} data-times={times}>
      <BaseEdge id={id} path={roundedPath(place.points)} />
      <path className="head" d={headOf(place.points)} />
      {place.label !== null && (
        <text x={place.label.x + place.label.width / 2} y={place.label.y + 11.5} textAnchor="middle">
          {text}
        </text>
      )}
    </g>
  );
}

const nodeTypes = { state: StateBox };
const edgeTypes = { arrow: Arrow };

type Points = Layout['edges'][string]['points'];
const radius = 6;

/** A line by the corners, each a little round. */
function roundedPath(points: Points): string {
  return points
    .map((point, index) => {
      const before = points[index - 1];
      const after = points[index + 1];
      if (before === undefined) return `M${point.x},${point.y}`;
      if (after === undefined) return `L${point.x},${point.y}`;
      const a = towards(point, before);
      const b = towards(point, after);
      return `L${a.x},${a.y}Q${point.x},${point.y} ${b.x},${b.y}`;
    })
    .join('');
}

function towards(from: Points[number], to: Points[number]): Points[number] {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const step = Math.min(radius, length / 2) / length;
  return { x: from.x + (to.x - from.x) * step, y: from.y + (to.y - from.y) * step };
}

function headOf(points: Points): string {
  const end = points.at(-1);
  const before = points.at(-2);
  if (end === undefined || before === undefined) return '';
  const length = Math.hypot(end.x - before.x, end.y - before.y) || 1;
  const dx = (end.x - before.x) / length;
  const dy = (end.y - before.y) / length;
  const back = { x: end.x - dx * 7, y: end.y - dy * 7 };
  return `M${end.x},${end.y}L${back.x - dy * 3.5},${back.y + dx * 3.5}L${back.x + dy * 3.5},${back.y - dx * 3.5}Z`;
}
