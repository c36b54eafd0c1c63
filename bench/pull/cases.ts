import { containerdSubject, type Peer } from './containerd.ts';
import { floorSubjects, flydSubject, type Places, type Subject, umociSubject } from './subjects.ts';

export const caseNames = ['cold', 'zstd', 'second', 'tenfold'] as const;
export type CaseName = (typeof caseNames)[number];

const drivers = ['erofs', 'overlay', 'copy'];
const layered = ['erofs', 'overlay'];
const rangeBytes = 8 * 1024 * 1024;

/** Who takes part in a case; a text says who is absent, and why. */
export function subjectsOf(name: CaseName, places: Places, peer: Peer): (Subject | string)[] {
  const golang = { family: 'golang' };
  const zstd = { family: 'golang-zstd', title: 'zstd layers' };
  const flyd = (names: readonly string[], task: Parameters<typeof flydSubject>[2]) =>
    names.map((driver) => flydSubject(places, driver, task));
  const containerd = (...args: [Parameters<typeof containerdSubject>[2], typeof golang]) =>
    containerdSubject(peer, places, ...args);
  switch (name) {
    case 'cold':
      return [
        ...flyd(drivers, golang),
        containerd({ snapshotter: 'overlayfs' }, golang),
        containerd({ snapshotter: 'overlayfs', rangeBytes }, golang),
        containerd({ snapshotter: 'overlayfs', unpacks: 4 }, golang),
        containerd({ snapshotter: 'erofs' }, golang),
        umociSubject(places, 'umoci', 'golang') ?? 'umoci: absent (apt-get install umoci)',
        ...floorSubjects(places, 'golang'),
      ];
    case 'zstd':
      return [
        ...flyd(drivers, golang),
        ...flyd(drivers, zstd),
        containerd({ snapshotter: 'overlayfs' }, golang),
        containerd({ snapshotter: 'overlayfs' }, zstd),
        containerd({ snapshotter: 'erofs' }, zstd),
        ...floorSubjects(places, 'golang-zstd'),
      ];
    case 'second': {
      const [before, fromRegistry] = ['golang', true];
      return layered.flatMap((driver) => [
        flydSubject(places, driver, { family: 'python', before, fromRegistry, title: 'two layers there' }),
        flydSubject(places, driver, {
          family: 'python-own',
          before,
          fromRegistry,
          title: 'its own layers alone',
        }),
      ]);
    }
    case 'tenfold':
      return flyd(layered, { family: 'golang-tenfold', title: 'ten times the image' });
  }
}
