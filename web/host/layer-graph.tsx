import { bytes } from '../data/text.ts';
import type { StoreDocument } from '../data/types.ts';

interface ChainNode {
  chain: string;
  digest: string;
  key: string;
  size: number;
  depth: number;
  children: ChainNode[];
  images: string[];
  volume: StoreDocument['volumes'][number] | null;
  /** Row of the drawing. */
  row: number;
}

const column = 178;
const rowHeight = 46;
const box = { width: 150, height: 34 };

/**
 * Layers from the lowest to the highest, from left to right; images that begin with the same layers share
 * the boxes. At the end of each chain are its images and how often they are mounted.
 */
export function LayerGraph({ store }: { store: StoreDocument }) {
  const roots = chainsOf(store);
  let rows = 0;
  const all: ChainNode[] = [];
  const place = (node: ChainNode): void => {
    all.push(node);
    if (node.children.length === 0) node.row = rows++;
    for (const child of node.children) place(child);
    if (node.children.length > 0) node.row = node.children[0]?.row ?? 0;
    if (node.images.length > 0 && node.children.length > 0) node.row = rows++;
  };
  for (const root of roots) place(root);
  const depth = Math.max(...all.map((node) => node.depth)) + 2;
  const x = (node: ChainNode): number => node.depth * column + 4;
  const y = (node: ChainNode): number => node.row * rowHeight + 6;
  const endX = (depth - 1) * column + 4;
  return (
    <section className="wide graph" aria-label="Layers that images share" tabIndex={0}>
      <svg width={endX + 240} height={rows * rowHeight + 12} role="img" aria-label={describe(store)}>
        {all.flatMap((node) =>
          node.children.map((child) => (
            <path
              key={child.chain}
              className="link"
              d={curve(x(node) + box.width, y(node) + box.height / 2, x(child), y(child) + box.height / 2)}
            />
          )),
        )}
        {all.map((node) => (
          <g key={node.chain} className={leavesUnder(node) > 1 ? 'layer shared' : 'layer'}>
            <title>
              {`${node.key}\n${node.digest}\nused by ${leavesUnder(node)} image(s)\nvolume ${node.volume?.id ?? 'none of its own'}`}
            </title>
            <rect x={x(node)} y={y(node)} {...box} rx={5} />
            <text x={x(node) + 8} y={y(node) + 14}>
              {short(node.key)}
            </text>
            <text className="dim" x={x(node) + 8} y={y(node) + 28}>
              {bytes(node.size)}
              {leavesUnder(node) > 1 && ` · shared by ${leavesUnder(node)}`}
              {node.volume !== null && ' · ▣'}
            </text>
          </g>
        ))}
        {all
          .filter((node) => node.images.length > 0)
          .map((node) => (
            <g key={node.chain} className="image">
              <path
                className="link"
                d={curve(x(node) + box.width, y(node) + box.height / 2, endX, y(node) + box.height / 2)}
              />
              <text x={endX + 6} y={y(node) + 14}>
                {node.images.map((id) => store.images.find((image) => image.id === id)?.family).join(', ')}
              </text>
              <text className="dim" x={endX + 6} y={y(node) + 28}>
                {imageText(store, node.images)}
              </text>
            </g>
          ))}
      </svg>
    </section>
  );
}

function imageText(store: StoreDocument, ids: readonly string[]): string {
  const mounted = store.activations.filter(({ image }) => ids.includes(image)).length;
  const raw = store.images.find(({ id }) => id === ids[0])?.rawSize ?? 0;
  return `${bytes(raw)} unpacked · ${mounted === 0 ? 'not mounted' : `${mounted} mounted`}`;
}

const describe = ({ images }: StoreDocument): string =>
  images.map(({ family, layers }) => `${family} of ${layers.length} layers`).join('; ');

const short = (key: string): string => {
  const name = key.slice(key.lastIndexOf('/') + 1);
  return name.length > 21 ? `${name.slice(0, 20)}…` : name;
};

const curve = (x1: number, y1: number, x2: number, y2: number): string =>
  `M${x1},${y1}C${(x1 + x2) / 2},${y1} ${(x1 + x2) / 2},${y2} ${x2},${y2}`;

const leavesUnder = (node: ChainNode): number =>
  node.images.length + node.children.reduce((sum, child) => sum + leavesUnder(child), 0);

/** The images as a forest: a box for each different beginning of a chain of layers. */
function chainsOf({ images, volumes }: StoreDocument): ChainNode[] {
  const roots: ChainNode[] = [];
  for (const image of images) {
    let level = roots;
    let last: ChainNode | null = null;
    for (const [depth, { digest, diffId, key, size }] of image.layers.entries()) {
      const chain: string = `${last?.chain ?? ''}/${diffId}`;
      let node: ChainNode | undefined = level.find((each) => each.chain === chain);
      if (node === undefined) {
        node = { chain, digest, key, size, depth, children: [], images: [], volume: null, row: 0 };
        level.push(node);
      }
      last = node;
      level = node.children;
    }
    if (last === null) continue;
    last.images.push(image.id);
    last.volume = volumes.find(({ id }) => id === image.base) ?? null;
  }
  return roots;
}
