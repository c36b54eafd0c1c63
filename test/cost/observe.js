// Loaded first into a flyd that is measured: at its end it writes to OBSERVED_TO what it has loaded and
// written. Bytes to the disk are the kernel's own count for the process, all threads together.
import { writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const loaded = [];
  registerHooks({
    load(url, context, nextLoad) {
      if (url.startsWith('file:')) loaded.push(url);
      return nextLoad(url, context);
    },
  });
  process.on('exit', () => {
    const cost = { loaded, bytesWritten: process.resourceUsage().fsWrite * 512 };
    writeFileSync(process.env.OBSERVED_TO, JSON.stringify(cost));
  });
}
