/** `840 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return pair(minutes, 'min', Math.round(seconds % 60), 's');
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return pair(hours, 'h', minutes % 60, 'min');
  return pair(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

const pair = (most: number, unit: string, least: number, small: string): string =>
  least === 0 ? `${most} ${unit}` : `${most} ${unit} ${least} ${small}`;

/** A length of time in one unit, for narrow columns. */
export function age(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

const two = (value: number): string => String(value).padStart(2, '0');

/** `14:03:09.120`, in the time zone of the reader. */
export function clock(ms: number): string {
  const at = new Date(ms);
  const tail = String(at.getMilliseconds()).padStart(3, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${tail}`;
}

/** `2026-11-21 14:03:09`. */
export function dateTime(ms: number): string {
  const at = new Date(ms);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** What happened, in words: `blob.fetch done`, `after 30000`, `cancel asked for`. */
export function eventText(event: string, src: string | null = null, attempt: number | null = null): string {
  const actor = /^xstate\.(done|error)\.actor\.(.+)$/.exec(event);
  if (actor !== null) return `${actor[2]} ${actor[1] === 'done' ? 'done' : 'failed'}`;
  const after = /^xstate\.after\.(.+?)\..+$/.exec(event);
  if (after !== null) return `after ${after[1]}`;
  if (event === 'xstate.init') return 'started';
  if (event === 'flyd.cancel') return 'cancel asked for';
  if (src !== null && event.startsWith('flyd.')) {
    const what = {
      'flyd.retry': 'will be tried again',
      'flyd.pending': 'is pending',
      'flyd.parked': 'is parked',
    }[event];
    return `${src} ${what ?? event}${attempt === null ? '' : `, attempt ${attempt} failed`}`;
  }
  if (event === 'flyd.retry') return 'retry asked for';
  if (event === 'flyd.parked') return 'parked';
  return event;
}
