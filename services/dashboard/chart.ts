import type { Json } from '#engine/types';

/** A state of a machine, as a box to draw. Ids are XState's: `machine.parent.child`. */
export interface ChartNode {
  id: string;
  parent: string | null;
  label: string;
  type: 'atomic' | 'compound' | 'parallel' | 'final' | 'history';
  initial: boolean;
  tags: string[];
  /** Events that it does something about, by their names. */
  events: string[];
  /** What runs while the state is active: `src`, or `src#id`. */
  invokes: string[];
}

/** A transition, as an arrow to draw. */
export interface ChartEdge {
  id: string;
  from: string;
  to: string;
  /** The event as the history names it; empty for `always`. */
  event: string;
  kind: 'event' | 'always' | 'done' | 'error' | 'after';
  label: string;
  guard: string | null;
}

export interface Chart {
  nodes: ChartNode[];
  edges: ChartEdge[];
  /** The states that a run is in before its first event. */
  initial: string[];
}

type Config = { [key: string]: Json | undefined };

const record = (value: Json | undefined): Config =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
const list = (value: Json | undefined): Json[] =>
  value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];
const text = (value: Json | undefined): string | null => (typeof value === 'string' ? value : null);

/**
 * Boxes and arrows of a machine from its stored definition, the config that XState was given: the drawing
 * cannot differ from what runs. Actions and guards are shown by their names.
 */
export function chartOf(definition: Json): Chart {
  const root = record(definition);
  const rootId = text(root.id) ?? '(machine)';
  const nodes: ChartNode[] = [];
  const edges: ChartEdge[] = [];
  const configs = new Map<string, Config>();
  const byOwnId = new Map<string, string>();

  const collect = (config: Config, id: string, parent: string | null, initial: boolean): void => {
    configs.set(id, config);
    if (text(config.id) !== null) byOwnId.set(text(config.id) as string, id);
    const children = Object.entries(record(config.states));
    nodes.push({
      id,
      parent,
      label: id.slice(id.lastIndexOf('.') + 1),
      type: typeOf(config, children.length),
      initial,
      tags: tagsOf(config, id),
      events: Object.keys(record(config.on)),
      invokes: list(config.invoke).map((each) => invokeName(record(each))),
    });
    const first = initialOf(config);
    for (const [name, child] of children) collect(record(child), `${id}.${name}`, id, name === first);
  };
  collect(root, rootId, null, false);

  const resolve = (target: string, from: string): string | null => {
    if (target.startsWith('#')) {
      const [own = '', ...rest] = target.slice(1).split('.');
      const base = byOwnId.get(target.slice(1)) ?? byOwnId.get(own) ?? own;
      const full = byOwnId.has(target.slice(1)) ? base : [base, ...rest].join('.');
      return configs.has(full) ? full : null;
    }
    const base = target.startsWith('.') ? from : from.slice(0, from.lastIndexOf('.'));
    const full = target.startsWith('.') ? `${from}${target}` : `${base}.${target}`;
    return configs.has(full) ? full : null;
  };
  const connect = (
    from: string,
    event: string,
    kind: ChartEdge['kind'],
    label: string,
    to: Json | undefined,
  ) => {
    for (const each of list(to)) {
      const transition = typeof each === 'string' ? { target: each } : record(each);
      const guard = nameOf(transition.guard);
      for (const target of list(transition.target)) {
        const found = typeof target === 'string' ? resolve(target, from) : null;
        if (found === null) continue;
        edges.push({ id: `e${edges.length}`, from, to: found, event, kind, label, guard });
      }
    }
  };
  for (const [id, config] of configs) {
    for (const [event, to] of Object.entries(record(config.on)))
      connect(id, event, /^xstate\.error\./.test(event) ? 'error' : 'event', eventLabel(event), to);
    for (const [delay, to] of Object.entries(record(config.after)))
      connect(id, `xstate.after.${delay}.${id}`, 'after', `after ${delay}`, to);
    connect(id, '', 'always', '', config.always);
    connect(id, `xstate.done.state.${id}`, 'done', 'done', config.onDone);
    for (const invoke of list(config.invoke).map(record)) {
      const child = text(invoke.id) ?? '';
      connect(id, `xstate.done.actor.${child}`, 'done', 'done', invoke.onDone);
      connect(id, `xstate.error.actor.${child}`, 'error', 'failed', invoke.onError);
    }
  }
  return { nodes, edges, initial: entered(rootId, configs) };
}

/** Tags, but one that only repeats the state's name. */
const tagsOf = (config: Config, id: string): string[] =>
  list(config.tags).filter((tag) => typeof tag === 'string' && !id.endsWith(`.${tag}`)) as string[];

function typeOf(config: Config, children: number): ChartNode['type'] {
  const type = text(config.type);
  if (type === 'final' || type === 'history' || type === 'parallel') return type;
  return children > 0 ? 'compound' : 'atomic';
}

const initialOf = (config: Config): string | null =>
  text(config.initial) ?? text(record(config.initial).target);

/** The leaves that entering a state leads to. */
function entered(id: string, configs: ReadonlyMap<string, Config>): string[] {
  const config = configs.get(id) ?? {};
  const children = Object.keys(record(config.states));
  if (children.length === 0) return [id];
  if (text(config.type) === 'parallel')
    return children.flatMap((child) => entered(`${id}.${child}`, configs));
  const first = initialOf(config);
  return first === null ? [id] : entered(`${id}.${first}`, configs);
}

function invokeName(invoke: Config): string {
  const src = nameOf(invoke.src) ?? '?';
  const id = text(invoke.id);
  return id === null || id === src ? src : `${src}#${id}`;
}

/** `xstate.error.actor.*` as `any failed`, `flyd.cancel` as `cancel`: what people call them. */
function eventLabel(event: string): string {
  const actor = /^xstate\.(done|error)\.actor\.(.+)$/.exec(event);
  if (actor !== null)
    return `${actor[2] === '*' ? 'any' : actor[2]} ${actor[1] === 'done' ? 'done' : 'failed'}`;
  return event.replace(/^flyd\./, '');
}

/** A guard or source by name: as text, as `{ type }`, or a function that the definition names. */
const nameOf = (value: Json | undefined): string | null =>
  text(value) ?? text(record(value).type) ?? text(record(value).function);
