import type { DashboardParts } from './parts.ts';

/** How full things are is looked at so often, and noted when it has changed, or after a while anyway. */
const everyMs = 10_000;
const noteAnywayMs = 10 * 60_000;
/** A change of this part of the whole is worth a row. */
const changeMin = 0.001;

/** Notes how full pools and disks are while the dashboard runs. */
export function createSampler({ space, store, now, log }: DashboardParts) {
  const noted = new Map<string, { free: number; at: number }>();
  let timer: NodeJS.Timeout | null = null;
  let running = false;

  async function look(): Promise<void> {
    const at = now();
    const rows = (await space()).filter(({ what, free, total }) => {
      const last = noted.get(what);
      if (last === undefined || at - last.at > noteAnywayMs) return true;
      return Math.abs(last.free - free) > total * changeMin;
    });
    if (!running || rows.length === 0) return;
    store.samples.add(
      rows.map(({ what, unit, free, total }) => ({ at, what, unit, free: Math.round(free), total })),
    );
    for (const { what, free } of rows) noted.set(what, { free, at });
  }

  async function go(): Promise<void> {
    try {
      await look();
    } catch (error) {
      log.warn({ err: error }, 'could not look how full things are');
    }
    if (running) timer = setTimeout(go, everyMs);
  }

  return {
    start(): void {
      running = true;
      void go();
    },
    stop(): void {
      running = false;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
