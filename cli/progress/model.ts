import type { LayerBlob } from '#core/image';
import { isTerminal, type RunStatus } from '#core/status';
import type { EngineEvent, RunView } from '#engine/types';
import type { BlobInput } from '#machines/blob';
import type { VolumeInput } from '#machines/volume';

export type Phase = 'waiting' | 'moving' | 'pending' | 'done' | 'reused';

/** One half of a layer's way: the fetch or the unpacking. */
export interface Half {
  phase: Phase;
  /** Bytes: on the wire, or uncompressed. */
  done: number;
  total: number | null;
  /** Milliseconds of `performance.now()`. */
  startedAt: number;
  endedAt: number;
  /** Another process does it. */
  elsewhere: boolean;
}

export interface LayerLine {
  key: string;
  fetch: Half;
  unpack: Half;
}

/** What a pull looks like to a watcher: fed with the engine's events, read by the renderers. */
export interface ProgressModel {
  readonly lines: Map<string, LayerLine>;
  /** What the run itself does, for people. */
  activity: string;
  /** Why it cannot go on right now; null when it can. */
  trouble: string | null;
  take(event: EngineEvent): void;
  /** Runs that the engine does not report on by itself: those of other processes. */
  look(run: RunView): void;
}

const newHalf = (): Half => ({
  phase: 'waiting',
  done: 0,
  total: null,
  startedAt: 0,
  endedAt: 0,
  elsewhere: false,
});

/** States of `pull` and its children in a person's words. */
const activities: Readonly<Record<string, string>> = {
  'pull.resolving': 'looking for the layers',
  'pull.imaging': 'making the image',
  'pull.pinning': 'writing the lock file',
  'pull.activating': 'activating',
  'image.reserving': 'looking for room',
  'image.building': 'fetching and unpacking',
  'image.registering': 'registering the image',
  'activate.making.snapshotting': 'making the snapshot',
  'activate.making.mounting': 'mounting',
};

export function createProgressModel(token: string): ProgressModel {
  const lines = new Map<string, LayerLine>();

  const lineOf = (key: string): LayerLine => {
    const known = lines.get(key);
    if (known !== undefined) return known;
    const line = { key, fetch: newHalf(), unpack: newHalf() };
    lines.set(key, line);
    return line;
  };

  const lookAtBlob = (run: RunView): void => {
    const { layer } = run.input as unknown as BlobInput;
    const { fetch } = lineOf(layer.key);
    fetch.total = layer.size;
    fetch.elsewhere = run.owner !== null && run.owner !== token;
    if (run.status === 'pending') fetch.phase = 'pending';
    else if (run.state === 'fetching' && fetch.phase === 'waiting') move(fetch);
    else if (run.status === 'done' && !isOver(fetch)) {
      const { reused } = run.output as unknown as LayerBlob;
      end(fetch, reused ? 'reused' : 'done');
    }
  };

  const lookAtVolume = (run: RunView): void => {
    const { layers } = run.input as unknown as VolumeInput;
    for (const { key, rawSize } of layers) {
      const { unpack } = lineOf(key);
      unpack.total = rawSize;
      if (run.status === 'done') {
        const { reused } = run.output as unknown as { reused: boolean };
        if (!isOver(unpack)) end(unpack, reused ? 'reused' : 'done');
      } else unpack.elsewhere = run.owner !== null && run.owner !== token;
    }
  };

  const model: ProgressModel = {
    lines,
    activity: 'starting',
    trouble: null,
    look(run) {
      if (run.machine === 'blob') lookAtBlob(run);
      else if (run.machine === 'volume') lookAtVolume(run);
      const activity = activities[`${run.machine}.${run.state}`];
      if (activity !== undefined) model.activity = activity;
      if (run.machine === 'pull') model.trouble = goesOn(run.status) ? (run.error?.message ?? null) : null;
    },
    take(event) {
      if (event.type === 'run') model.look(event.run);
      if (event.type !== 'progress') return;
      const { src, input, progress } = event;
      if (src === 'blob.fetch') {
        const { fetch } = lineOf((input as unknown as BlobInput).layer.key);
        advance(fetch, progress.done, progress.total);
      } else if (src === 'volume.unpack' && progress.unit !== 'entries') {
        const { layers } = input as unknown as { layers: LayerBlob[] };
        spread(layers, progress.done, (key) => lineOf(key).unpack);
      }
    },
  };
  return model;
}

/** What has ended or is parked is told at the end. */
const goesOn = (status: RunStatus): boolean => !isTerminal(status) && status !== 'parked';

/** A volume's bytes are counted over all of its layers, which are unpacked one after the other. */
function spread(layers: readonly LayerBlob[], done: number, halfOf: (key: string) => Half): void {
  let before = 0;
  for (const { key, rawSize } of layers) {
    const half = halfOf(key);
    const own = Math.min(rawSize, Math.max(0, done - before));
    before += rawSize;
    if (own === 0 && half.phase === 'waiting') return;
    advance(half, own, rawSize);
    if (own === rawSize && half.phase === 'moving') end(half, 'done');
  }
}

const isOver = (half: Half): boolean => half.phase === 'done' || half.phase === 'reused';

function move(half: Half): void {
  half.phase = 'moving';
  half.startedAt = performance.now();
}

function advance(half: Half, done: number, total: number | null): void {
  if (half.phase === 'waiting' || half.phase === 'pending') move(half);
  half.done = done;
  half.total = total ?? half.total;
}

function end(half: Half, phase: 'done' | 'reused'): void {
  if (half.startedAt === 0) half.startedAt = performance.now();
  half.endedAt = performance.now();
  half.phase = phase;
  half.done = half.total ?? half.done;
}

/** Bytes a second over its whole time so far. */
export function rateOf(half: Half): number {
  const until = half.endedAt === 0 ? performance.now() : half.endedAt;
  const seconds = (until - half.startedAt) / 1000;
  return seconds <= 0 ? 0 : half.done / seconds;
}
