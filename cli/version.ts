import { readFileSync } from 'node:fs';

/** The version of the package: beside the sources in a checkout, above the build where it is installed. */
export function versionOf(): string {
  for (const path of ['../package.json', '../../package.json']) {
    const { version } = readManifest(new URL(path, import.meta.url));
    if (version !== undefined) return version;
  }
  return 'unknown';
}

function readManifest(url: URL): { version?: string } {
  try {
    return JSON.parse(readFileSync(url, 'utf8')) as { version?: string };
  } catch {
    return {};
  }
}
