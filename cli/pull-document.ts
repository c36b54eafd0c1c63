import type { ErrorRecord } from '#core/errors';
import type { ActivationResult, DriverName, LayerMediaType } from '#core/image';
import type { NearlyFull } from '#core/pool-fill';
import { endpointText, type ImageManifest, sourceText } from '#core/source';
import type { RunStatus } from '#core/status';
import type { Engine } from '#engine/api';
import type { RunView } from '#engine/types';
import type { PullResult } from '#machines/pull';
import type { UnpackReport } from '#machines/volume';
import { errorDocument } from './output.ts';

/** What `flyd pull --json` prints and `--results` writes. Scripts rely on it: fields are added, never changed. */
export interface PullDocument {
  run: string;
  status: RunStatus;
  pinned: boolean;
  image: {
    id: string;
    source: string;
    endpoint: string | null;
    family: string;
    /** What its OCI manifest says; null for a family of plain layers. */
    manifest: Omit<ImageManifest, 'diffIds'> | null;
    chain: string;
    layers: {
      key: string;
      digest: string;
      diffId: string;
      etag: string;
      size: number;
      mediaType: LayerMediaType;
      reused: boolean;
    }[];
  } | null;
  base: { id: string; driver: DriverName; reused: boolean } | null;
  activation: ActivationResult | null;
  bytes: { fetched: number; reused: number; unpacked: number };
  seconds: Seconds;
  /** Things about the layers that are worth a word, counted. */
  warnings: UnpackReport['warnings'];
  /** What of the thin pool is beyond its threshold (setting `warnAt`) now that the run is over. */
  nearlyFull: NearlyFull[];
  error?: ReturnType<typeof errorDocument>;
}

export interface Seconds {
  total: number;
  fetch: number;
  unpack: number;
  register: number;
  activate: number;
}

export interface PullRemarks {
  /** Stands in for an error that the run does not have. */
  trouble?: ErrorRecord | undefined;
  nearlyFull?: NearlyFull[];
}

/** What there is to say of a `pull` run now. */
export function pullDocument(
  engine: Engine,
  view: RunView,
  { trouble, nearlyFull = [] }: PullRemarks = {},
): PullDocument {
  const result = view.status === 'done' ? (view.output as unknown as PullResult) : null;
  const error = view.status === 'done' ? undefined : (trouble ?? view.error ?? undefined);
  return {
    run: view.id,
    status: view.status,
    pinned: result?.pinned ?? false,
    image: result === null ? null : imageOf(result),
    base: result?.image.base ?? null,
    activation: result?.activation ?? null,
    bytes: bytesOf(result),
    seconds: secondsOf(engine, view),
    warnings: result?.image.unpacked.warnings ?? [],
    nearlyFull,
    ...(error === undefined ? {} : { error: errorDocument(error) }),
  };
}

function imageOf({
  image: { id, source, family, chain, layers, manifest },
}: PullResult): PullDocument['image'] {
  return {
    id,
    source: sourceText(source),
    endpoint: endpointText(source),
    family,
    manifest: manifestOf(manifest ?? null),
    chain,
    layers: layers.map(({ key, digest, diffId, etag, size, mediaType, reused }) => ({
      key,
      digest,
      diffId,
      etag,
      size,
      mediaType,
      reused,
    })),
  };
}

/** The diffIDs are told with the layers. */
function manifestOf(manifest: ImageManifest | null): Omit<ImageManifest, 'diffIds'> | null {
  if (manifest === null) return null;
  const { diffIds: _, ...rest } = manifest;
  return rest;
}

function bytesOf(result: PullResult | null): PullDocument['bytes'] {
  const layers = result?.image.layers ?? [];
  const sum = (numbers: number[]): number => numbers.reduce((total, number) => total + number, 0);
  return {
    fetched: sum(layers.map(({ fetched }) => fetched)),
    reused: sum(layers.filter(({ reused }) => reused).map(({ size }) => size)),
    unpacked: result?.image.unpacked.bytes ?? 0,
  };
}

interface Span {
  from: number;
  to: number;
}

type Stage = Exclude<keyof Seconds, 'total'>;

/** The stage that an effect belongs to: by the noun of its name, but for the unpacking. */
function stageOf(operation: string): Stage {
  if (operation === 'volume.unpack') return 'unpack';
  const noun = operation.split('.')[0];
  if (noun === 'blob' || operation === 'family.resolve') return 'fetch';
  return noun === 'activation' ? 'activate' : 'register';
}

/**
 * Where the time went, from the history of the run and those below it. Stages overlap: each counts the
 * time in which at least one of its effects ran, and only while this run was there.
 */
function secondsOf(engine: Engine, view: RunView): Seconds {
  const end = view.endedAt ?? view.updatedAt;
  const spans: Record<Stage, Span[]> = { fetch: [], unpack: [], register: [], activate: [] };
  for (const run of withChildren(engine, view))
    for (const { event, at, ms } of engine.history(run.id)) {
      const operation = /^xstate\.(?:done|error)\.actor\.(?<name>[a-z]+\.[a-z]+)$/.exec(event)?.groups?.name;
      if (operation === undefined || ms === null) continue;
      const span = { from: Math.max(at - ms, view.createdAt), to: Math.min(at, end) };
      if (span.to > span.from) spans[stageOf(operation)].push(span);
    }
  return {
    total: seconds(end - view.createdAt),
    fetch: seconds(union(spans.fetch)),
    unpack: seconds(union(spans.unpack)),
    register: seconds(union(spans.register)),
    activate: seconds(union(spans.activate)),
  };
}

/** The wall clock may have been set back meanwhile. */
const seconds = (ms: number): number => Math.max(0, Math.round(ms)) / 1000;

/** The run and all below it, each once. */
export function withChildren(engine: Engine, view: RunView): RunView[] {
  const found = new Map<string, RunView>();
  const visit = (run: RunView): void => {
    if (found.has(run.id)) return;
    found.set(run.id, run);
    for (const child of engine.children(run.id)) visit(child.run);
  };
  visit(view);
  return [...found.values()];
}

/** Milliseconds that are covered by at least one of the spans. */
function union(spans: readonly Span[]): number {
  let covered = 0;
  let reached = 0;
  for (const { from, to } of [...spans].sort((a, b) => a.from - b.from)) {
    covered += Math.max(0, to - Math.max(from, reached));
    reached = Math.max(reached, to);
  }
  return covered;
}
