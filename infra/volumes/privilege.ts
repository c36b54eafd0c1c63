import { readFile } from 'node:fs/promises';
import { geteuid } from '../sys.ts';

const CAP_SYS_ADMIN = 21n;
const CAP_MKNOD = 27n;

/**
 * Whether this process may mount, make device nodes and set trusted.* attributes: root with the
 * capabilities, in the first user namespace (a "root" of another one may not).
 */
export async function isPrivileged(): Promise<boolean> {
  if (geteuid() !== 0) return false;
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const has = (capability: bigint) => ((effective >> capability) & 1n) === 1n;
  const uidMap = await readFile('/proc/self/uid_map', 'utf8').catch(() => '');
  return has(CAP_SYS_ADMIN) && has(CAP_MKNOD) && /^\s*0\s+0\s+4294967295\s*$/.test(uidMap);
}
