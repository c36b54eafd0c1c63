/** A platform of the OCI image-spec (image-index.md, "platform"). */
export interface Platform {
  os: string;
  architecture: string;
  variant: string | null;
}

const partPattern = /^[a-z0-9][a-z0-9._-]{0,31}$/;

/** `os/architecture[/variant]`; null for anything else. */
export function parsePlatform(text: string): Platform | null {
  const parts = text.split('/');
  const [os, architecture, variant = null] = parts;
  if (os === undefined || architecture === undefined || parts.length > 3) return null;
  return parts.every((part) => partPattern.test(part)) ? normal({ os, architecture, variant }) : null;
}

export const platformText = ({ os, architecture, variant }: Platform): string =>
  `${os}/${architecture}${variant === null ? '' : `/${variant}`}`;

/** Other names of the same architecture, as `uname -m` and users have them. */
const aliases: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  i386: '386',
  x64: 'amd64',
  ia32: '386',
};

function normal({ os, architecture, variant }: Platform): Platform {
  const name = aliases[architecture] ?? architecture;
  // The first version of each is what no variant says (image-index.md: arm64's only variant is v8).
  const first = (name === 'arm64' && variant === 'v8') || (name === 'amd64' && variant === 'v1');
  return { os, architecture: name, variant: first ? null : variant };
}

/** Node's name of an architecture as OCI's; 32-bit ARM is taken for its last version. */
export const platformOf = (os: string, nodeArchitecture: string): Platform =>
  normal({ os, architecture: nodeArchitecture, variant: nodeArchitecture === 'arm' ? 'v7' : null });

/**
 * How well an image for `offered` runs on `wanted`: 0 not at all, else more is better. An ARM runs what
 * was made for an older version of it, and of those the newest is best.
 */
export function fit(wanted: Platform, offered: Platform): number {
  const [want, have] = [normal(wanted), normal(offered)];
  if (want.os !== have.os || want.architecture !== have.architecture) return 0;
  if (want.variant === have.variant) return 100;
  const [upTo, from] = [versionOf(want.variant), versionOf(have.variant)];
  if (want.architecture === 'arm' && from <= upTo) return from + 1;
  return have.variant === null ? 1 : 0;
}

/** The number of `v7`; 32-bit ARM without one is v7 when wanted and offered alike. */
const versionOf = (variant: string | null): number => Number(/^v(\d)$/.exec(variant ?? 'v7')?.[1] ?? 99);
