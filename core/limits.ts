const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/**
 * Every limit on what strangers send, with its unit and reason. All are checked before anything is
 * written and can be set by the operator (`--limit name=value`, `limits` in the config file).
 */
export interface Limits {
  /** Layers of one image. Overlay mounts, manifests and people all stop near here (docker: 127). */
  layersMax: number;
  /** Entries of one layer, markers and PAX headers not counted. Guards inodes. */
  layerEntriesMax: number;
  /** Bytes that files of one layer claim, holes included (a sparse file can claim exabytes). */
  layerLogicalBytesMax: number;
  /** Bytes that files of one layer really write. */
  layerPhysicalBytesMax: number;
  /** Uncompressed to compressed bytes, looked at only after `inflationGraceBytes`. zlib stops at 1032:1. */
  inflationRatioMax: number;
  /** Uncompressed bytes before the ratio counts: small layers of zeros are honest. */
  inflationGraceBytes: number;
  /** Bytes of `manifest.json`; the distribution spec asks clients for 4 MiB. */
  manifestBytesMax: number;
  /** Bytes of one PAX or GNU long-name body (Go's archive/tar stops at the same figure). */
  paxBytesMax: number;
  /** Bytes of one path; more than PATH_MAX, because parents are opened part by part. */
  pathBytesMax: number;
  /** Parts of one path (CVE-2024-28863). */
  pathDepthMax: number;
  /** Bytes of all xattrs of one entry (the VFS stops at 64 KiB a value). */
  xattrBytesMax: number;
  /** Fragments of one sparse map (CVE-2025-58183, CVE-2026-32288). */
  sparseFragmentsMax: number;
  /** Bytes of one object in the bucket. */
  objectBytesMax: number;
  /** Bytes a second that a source must send at least, on the average of `slowMs`; 1 lets it trickle. */
  sourceRateMin: number;
  /** Log2 of the zstd window; RFC 8878 asks for 8 MiB, the zstd command stops at 128 MiB (27). */
  zstdWindowLogMax: number;
  /** Non-zero bytes after the end of the archive; they count in the diffID and are no use to anyone. */
  trailingBytesMax: number;
}

export const defaultLimits: Limits = {
  layersMax: 127,
  layerEntriesMax: 2_000_000,
  layerLogicalBytesMax: 64 * GiB,
  layerPhysicalBytesMax: 32 * GiB,
  inflationRatioMax: 200,
  inflationGraceBytes: 64 * MiB,
  manifestBytesMax: 4 * MiB,
  paxBytesMax: 1 * MiB,
  pathBytesMax: 16 * KiB,
  pathDepthMax: 1024,
  xattrBytesMax: 256 * KiB,
  sparseFragmentsMax: 100_000,
  objectBytesMax: 32 * GiB,
  sourceRateMin: 1 * KiB,
  zstdWindowLogMax: 27,
  trailingBytesMax: 16 * MiB,
};
