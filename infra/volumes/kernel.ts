import { readFile } from 'node:fs/promises';
import { release } from 'node:os';

/** Whether the running kernel has this module built in, or a file of it to load on demand. Looks only. */
export async function moduleAvailable(name: string): Promise<boolean> {
  const folder = `/lib/modules/${release()}`;
  const pattern = new RegExp(`/${name.replaceAll('_', '[-_]')}\\.ko`, 'm');
  for (const list of ['modules.builtin', 'modules.dep'])
    if (pattern.test(await readFile(`${folder}/${list}`, 'utf8').catch(() => ''))) return true;
  return false;
}
