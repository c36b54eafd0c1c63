import type { Digest } from './ids.ts';
import type { ActivationOptions, DriverName } from './image.ts';

/**
 * What must hold between the database and the world, at every moment, also while runs move: one list.
 * Pure: `flyd doctor --verify` takes the picture, this judges it.
 */

/** What the database says, in one transaction. */
export interface Census {
  images: readonly {
    id: string;
    state: string;
    driver: DriverName;
    chain: string | null;
    base: string | null;
  }[];
  /** The layers of complete images that are not whole blobs: the database finds them without telling all. */
  brokenLayers: readonly { image: string; digest: Digest }[];
  volumes: readonly {
    id: string;
    driver: DriverName;
    chain: string;
    layers: number;
    parent: string | null;
    device: number | null;
    state: string;
  }[];
  activations: readonly {
    id: string;
    image: string;
    volume: string;
    driver: DriverName;
    device: number | null;
    state: string;
    options: ActivationOptions;
    mountPoint: string;
    path: string | null;
  }[];
  /** Bytes of each blob, null of one that is being removed. Those whose file is as it should be may be left out. */
  blobs: ReadonlyMap<Digest, number | null>;
  /** Device numbers that were given out. */
  devicesUsed: readonly { driver: DriverName; device: number }[];
  /** Live runs by machine, with their key: what may be half-way. */
  live: readonly { machine: string; key: string | null }[];
  /** What the engine's own tables say against each other. */
  engineFaults: readonly string[];
}

/** What is there, as the kernel and the file system show it. */
export interface World {
  /** Bytes of the file of each blob; what the census leaves out is left out here as well. */
  blobs: ReadonlyMap<Digest, number>;
  partials: readonly string[];
  inventory: Readonly<Record<DriverName, { volumes: readonly string[]; activations: readonly string[] }>>;
  /** Ids of what is mounted under the mount root, or at the mount point of an activation, as often as it is. */
  mounted: readonly string[];
  /** The thin pool, when this state directory has one that is mapped. */
  pool: PoolPicture | null;
}

export interface PoolPicture {
  /** Ids of volumes and activations that device-mapper maps. */
  mapped: readonly string[];
  /** The device of each id, as the records beside the pool have it. */
  records: readonly { id: string; device: number }[];
  /** Device ids in the pool's metadata that are of flyd's range; null when nobody could read them. */
  devices: readonly number[] | null;
  /** An adopted pool: somebody else's devices may be in it. */
  shared: boolean;
}

export interface Picture {
  census: Census;
  world: World;
}

export interface Violation {
  invariant: string;
  /** The id, digest or path that breaks it. */
  subject: string;
  says: string;
  /** The command that mends it, or null. */
  fix: string | null;
}

type Found = Omit<Violation, 'invariant'>;

export interface Invariant {
  name: string;
  states: string;
  /** `broken`: a promise does not hold. `leftover`: harmless, and gone with the next `flyd gc`. */
  level: 'broken' | 'leftover';
  check(picture: Picture): Found[];
}

const moves = ({ live }: Census, ...machines: string[]): boolean =>
  live.some(({ machine }) => machines.includes(machine));

/** A run that makes or fetches something for an image is under way. */
const pulls = (census: Census): boolean => moves(census, 'pull', 'image', 'blob', 'volume');
const collects = (census: Census): boolean => moves(census, 'sweep', 'remove');

const isMovedNow = ({ live }: Census, activation: string): boolean =>
  live.some(({ machine, key }) => machine === 'deactivate' && key === activation);

const byId = <Row extends { id: string }>(rows: readonly Row[]): Map<string, Row> =>
  new Map(rows.map((row) => [row.id, row]));

const inventoryOf = ({ inventory }: World): Set<string> =>
  new Set(Object.values(inventory).flatMap(({ volumes, activations }) => [...volumes, ...activations]));

const sweepUp = 'flyd gc';
const takeBack = 'flyd resume';
const pullAgain = 'flyd doctor --fix, then pull the image again';

export const invariants: readonly Invariant[] = [
  {
    name: 'engine-consistent',
    states: 'an ended run has no effects, timers or owner; the newest step of a run is in its history',
    level: 'broken',
    check: ({ census }) => census.engineFaults.map((says) => ({ subject: 'runs', says, fix: null })),
  },
  {
    name: 'image-has-base',
    states: 'the base of a complete image is a sealed volume of its chain and driver',
    level: 'broken',
    check({ census }) {
      const volumes = byId(census.volumes);
      return census.images
        .filter(({ state }) => state === 'complete')
        .flatMap(({ id, base, chain, driver }) => {
          const volume = base === null ? undefined : volumes.get(base);
          const holds = volume?.state === 'sealed' && volume.chain === chain && volume.driver === driver;
          const says = `its base ${base} is ${volume === undefined ? 'unknown' : `${volume.state}, ${volume.driver}`}`;
          return holds ? [] : [{ subject: id, says, fix: pullAgain }];
        });
    },
  },
  {
    name: 'image-has-layers',
    states: 'every layer of a complete image is a whole blob',
    level: 'broken',
    check: ({ census }) =>
      census.brokenLayers.map(({ image, digest }) => ({
        subject: image,
        says: `its layer ${digest} is not whole`,
        fix: pullAgain,
      })),
  },
  {
    name: 'blob-has-file',
    states: 'a whole blob has a file of its size',
    level: 'broken',
    check({ census, world }) {
      const broken: Found[] = [];
      for (const [digest, size] of census.blobs) {
        const found = world.blobs.get(digest);
        if (size === null || found === size) continue;
        const says = found === undefined ? 'its file is gone' : `its file has ${found} bytes, not ${size}`;
        broken.push({ subject: digest, says, fix: pullAgain });
      }
      return broken;
    },
  },
  {
    name: 'volume-parents',
    states: 'a sealed volume stands on a sealed volume of fewer layers, or on none',
    level: 'broken',
    check({ census }) {
      const volumes = byId(census.volumes);
      return census.volumes
        .filter(({ state, parent }) => state === 'sealed' && parent !== null)
        .flatMap(({ id, parent, layers }) => {
          const below = volumes.get(parent ?? '');
          const holds = below !== undefined && below.state === 'sealed' && below.layers < layers;
          return holds
            ? []
            : [{ subject: id, says: `its parent ${parent} is ${below?.state ?? 'unknown'}`, fix: pullAgain }];
        });
    },
  },
  {
    name: 'volume-exists',
    states: 'a sealed volume is there',
    level: 'broken',
    check({ census, world }) {
      const there = inventoryOf(world);
      return census.volumes
        .filter(({ id, state }) => state === 'sealed' && !there.has(id))
        .map(({ id, driver }) => ({ subject: id, says: `the ${driver} volume is gone`, fix: pullAgain }));
    },
  },
  {
    name: 'activation-stands',
    states: 'an activation stands on a sealed volume, and an active one is there',
    level: 'broken',
    check({ census, world }) {
      const volumes = byId(census.volumes);
      const there = inventoryOf(world);
      return census.activations
        .filter(({ id, state }) => state === 'active' && !isMovedNow(census, id))
        .flatMap(({ id, volume }): Found[] => {
          const base = volumes.get(volume);
          if (base?.state !== 'sealed')
            return [{ subject: id, says: `its base ${volume} is ${base?.state ?? 'unknown'}`, fix: null }];
          return there.has(id)
            ? []
            : [{ subject: id, says: 'what was written to it is gone', fix: 'flyd doctor --fix' }];
        });
    },
  },
  {
    name: 'activation-mounted',
    states: 'an active activation is mounted once, or mapped when it is attached as a device',
    level: 'broken',
    check({ census, world }) {
      const mounts = count(world.mounted);
      const mapped = new Set(world.pool?.mapped ?? []);
      return census.activations
        .filter(({ id, state }) => state === 'active' && !isMovedNow(census, id))
        .flatMap(({ id, driver, path }) => {
          const times = mounts.get(id) ?? 0;
          if (path !== null && times !== 1)
            return [
              {
                subject: id,
                says: times === 0 ? 'it is not mounted' : `it is mounted ${times} times`,
                fix: takeBack,
              },
            ];
          return driver === 'devmapper' && !mapped.has(id)
            ? [{ subject: id, says: 'its device is not mapped', fix: takeBack }]
            : [];
        });
    },
  },
  {
    name: 'mount-known',
    states: 'what is mounted under the mount root is an activation',
    level: 'broken',
    check({ census, world }) {
      const known = byId(census.activations);
      return [...new Set(world.mounted)]
        .filter((id) => !known.has(id))
        .map((id) => ({
          subject: id,
          says: 'it is mounted, and no activation has this id',
          fix: 'flyd doctor --fix',
        }));
    },
  },
  {
    name: 'devices-differ',
    states: 'every volume and activation has a device number of its own, marked as given out',
    level: 'broken',
    check({ census }) {
      const rows = [...census.volumes, ...census.activations].filter(({ device }) => device !== null);
      const seen = count(rows.map(({ driver, device }) => `${driver} ${device}`));
      const used = new Set(census.devicesUsed.map(({ driver, device }) => `${driver} ${device}`));
      return rows.flatMap(({ id, driver, device }) => {
        const name = `${driver} ${device}`;
        if ((seen.get(name) ?? 0) > 1)
          return [{ subject: id, says: `device ${device} is another's too`, fix: null }];
        return used.has(name)
          ? []
          : [{ subject: id, says: `device ${device} is not marked as given out`, fix: null }];
      });
    },
  },
  {
    name: 'pool-records',
    states: 'the record beside the pool and the database name the same device',
    level: 'broken',
    check({ census, world }) {
      const rows = byId<{ id: string; device: number | null }>([...census.volumes, ...census.activations]);
      return (world.pool?.records ?? []).flatMap(({ id, device }) => {
        const row = rows.get(id);
        return row === undefined || row.device === device
          ? []
          : [
              {
                subject: id,
                says: `the pool has it as device ${device}, the database as ${row.device}`,
                fix: null,
              },
            ];
      });
    },
  },
  {
    name: 'pool-devices',
    states: 'every device in the pool has a record, and every record of a settled row its device',
    level: 'broken',
    check({ census, world }) {
      if (world.pool === null || world.pool.devices === null) return [];
      const { devices, records, shared } = world.pool;
      const recorded = new Set(records.map(({ device }) => device));
      const there = new Set(devices);
      const settled = new Set(
        [...census.volumes, ...census.activations]
          .filter(({ id, state }) => ['sealed', 'active'].includes(state) && !isMovedNow(census, id))
          .map(({ id }) => id),
      );
      return [
        ...devices
          .filter((device) => !shared && !recorded.has(device))
          .map((device) => ({
            subject: String(device),
            says: 'the pool has this device, and nobody knows what it is',
            fix: `if nobody needs it: dmsetup message POOL 0 'delete ${device}'`,
          })),
        ...records
          .filter(({ id, device }) => settled.has(id) && !there.has(device))
          .map(({ id, device }) => ({
            subject: id,
            says: `the pool lost its device ${device}`,
            fix: pullAgain,
          })),
      ];
    },
  },
  {
    name: 'blob-known',
    states: 'a file of the blob store has a row, unless a pull is under way',
    level: 'leftover',
    check({ census, world }) {
      if (pulls(census) || collects(census)) return [];
      const strangers = [...world.blobs.keys()].filter((digest) => !census.blobs.has(digest));
      return strangers.map((digest) => ({
        subject: digest,
        says: 'a file that no row tells of',
        fix: sweepUp,
      }));
    },
  },
  {
    name: 'partial-needed',
    states: 'a partial download belongs to a pull that is under way',
    level: 'leftover',
    check: ({ census, world }) =>
      pulls(census)
        ? []
        : world.partials.map((id) => ({ subject: id, says: 'a download that was given up', fix: sweepUp })),
  },
  {
    name: 'world-known',
    states: 'every volume and activation that a driver has is in the database',
    level: 'leftover',
    check({ census, world }) {
      const known = new Set([...census.volumes, ...census.activations].map(({ id }) => id));
      return [...inventoryOf(world)]
        .filter((id) => !known.has(id))
        .map((id) => ({ subject: id, says: 'it is there, and the database does not know it', fix: sweepUp }));
    },
  },
  {
    name: 'rows-settled',
    states: 'what is being made or removed belongs to a run that is under way',
    level: 'leftover',
    check({ census }) {
      const unsettled = (state: string): boolean =>
        ['creating', 'created', 'removing', 'incomplete'].includes(state);
      const rows = [
        ...(pulls(census) || collects(census) ? [] : [...census.volumes, ...census.images]),
        ...(pulls(census) || collects(census) || moves(census, 'activate', 'deactivate')
          ? []
          : census.activations),
      ];
      return rows
        .filter(({ state }) => unsettled(state))
        .map(({ id, state }) => ({
          subject: id,
          says: `it is ${state}, and no run sees to it`,
          fix: sweepUp,
        }));
    },
  },
];

function count(values: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** Everything that does not hold in this picture. */
export const judge = (picture: Picture, level: Invariant['level']): Violation[] =>
  invariants
    .filter((invariant) => invariant.level === level)
    .flatMap(({ name, check }) => check(picture).map((found) => ({ invariant: name, ...found })));

/** What both pictures show: a picture is taken piece by piece, so what moves meanwhile looks wrong once. */
export const lasting = (first: readonly Violation[], second: readonly Violation[]): Violation[] =>
  second.filter((now) =>
    first.some((before) => before.invariant === now.invariant && before.subject === now.subject),
  );
