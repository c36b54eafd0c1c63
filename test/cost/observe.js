// Loaded first into a flyd that is measured: at its end it writes to OBSERVED_TO what it has loaded and
// written. Bytes to the disk are the kernel's own count for the process, all threads together.
import { writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const loaded = [];
  const own = [];
  registerHooks({
    load(url, context, nextLoad) {
      (url.startsWith('file:') ? loaded : own).push(url);
      return nextLoad(url, context);
    },
  });
  process.on('exit', () => {
    const cost = { loaded, own, bytesWritten: process.resourceUsage().fsWrite * 512 };
    writeFileSync(process.env.OBSERVED_TO, JSON.stringify(cost));
  });
}
